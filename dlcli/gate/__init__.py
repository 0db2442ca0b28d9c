"""The gate: read documents of a run's folder, and decide which names in them may be imported."""
