"""Template of a metric."""
