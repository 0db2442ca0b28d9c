"""From a configuration to the objects of one training run."""
