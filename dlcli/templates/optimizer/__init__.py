"""Template of an optimizer."""
