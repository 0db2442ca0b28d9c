"""Template of a callback."""
