"""Template of a loss."""
