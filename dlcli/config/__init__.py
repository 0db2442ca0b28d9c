"""Configuration: find conf folders, compose them with Hydra, validate the result and build objects from it."""
