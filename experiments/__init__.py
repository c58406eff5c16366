"""Training runs that show what the cells do; each is started with `python -m experiments.<name>`."""
