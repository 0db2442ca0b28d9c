"""Everything reported before training: errors, warnings and a profile of the data."""
