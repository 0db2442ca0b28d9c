"""Statistics of figures from resampling: intervals and comparisons, each with the source of its formula."""
