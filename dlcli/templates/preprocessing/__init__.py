"""Template of a preprocessing."""
