"""Template of a dataset."""
