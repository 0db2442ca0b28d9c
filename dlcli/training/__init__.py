"""Training: Lightning around a network, with nothing in the step that need not be there."""
