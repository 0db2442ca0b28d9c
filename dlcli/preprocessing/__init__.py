"""Preprocessing of raw rows, fitted on a split's training rows and saved with the run."""
