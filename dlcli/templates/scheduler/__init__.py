"""Template of a scheduler."""
