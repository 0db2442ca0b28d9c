"""Shell completion. It reads the YAML files only and imports nothing heavy."""
