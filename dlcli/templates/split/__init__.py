"""Template of a split."""
