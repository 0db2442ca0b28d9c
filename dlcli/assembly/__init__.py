"""Build the objects of one training run from a configuration."""
