"""Tools that several stages share, each small and by name."""
