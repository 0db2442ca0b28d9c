"""Shell completion, from the YAML files alone: nothing that takes time is imported."""
