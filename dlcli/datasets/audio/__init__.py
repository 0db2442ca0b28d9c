"""Audio files as recordings of one sample rate."""
