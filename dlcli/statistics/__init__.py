"""Statistics of resampled metrics: intervals and tests, each with the source of its formula."""
