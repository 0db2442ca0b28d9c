"""Intervals and tests for resampled metrics, each with the source of its formula."""
