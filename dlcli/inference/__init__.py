"""Inference: load a run's model folder, predict raw rows and compute metrics."""
