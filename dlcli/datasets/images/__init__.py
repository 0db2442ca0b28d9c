"""Image files: where they are, how they are decoded, and rows that are decoded when they are read."""
