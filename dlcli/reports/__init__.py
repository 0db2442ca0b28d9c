"""Pictures of a run, from plain arrays."""
