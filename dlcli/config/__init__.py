"""The configuration: find conf folders, compose them with Hydra, check everything at once, build objects."""
