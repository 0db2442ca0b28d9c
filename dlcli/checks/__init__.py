"""Checks of an experiment before training: errors, warnings and a profile of the data."""
