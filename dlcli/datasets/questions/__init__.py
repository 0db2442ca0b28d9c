"""Questions on contexts, with answers that are spans of these."""
