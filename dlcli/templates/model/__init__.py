"""Template of a model."""
