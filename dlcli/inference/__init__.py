"""Inference: a run's model folder, from raw rows to predictions and figures."""
