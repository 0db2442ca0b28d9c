"""Hyperparameter sweeps: resumable searches whose trials are ordinary jobs."""
