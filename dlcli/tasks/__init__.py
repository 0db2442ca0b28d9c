"""Tasks: the meaning of a model's outputs, its loss and its metrics."""
