"""Engine, transactions, migrations and locks; knows no noun but the tables as a whole."""
