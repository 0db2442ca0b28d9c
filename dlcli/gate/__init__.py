"""The gate: reads the documents of a run's folder, and decides which names in them may be imported."""
