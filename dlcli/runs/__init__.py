"""A run on disk: made, found, opened, resumed."""
