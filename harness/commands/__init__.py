"""What each sub-command does, between the parsing in `cli.py` and the modules that do the work."""
