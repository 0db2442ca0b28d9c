"""Training a network with Lightning, with as little work as possible in the step."""
