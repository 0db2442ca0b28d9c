"""Preprocessing: fitted on a split's training rows, saved with the run, applied to raw rows."""
