"""Template of an augmentation."""
