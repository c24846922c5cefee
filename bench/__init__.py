"""Every performance figure that the README quotes, one command: `python -m bench NAME`."""
