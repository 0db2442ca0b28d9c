"""The gate: everything that a run's folder says is read here, and every name that it gives is judged here."""
