"""Questions about contexts, with spans of the contexts as answers."""
