"""Training of a network with Lightning, with minimal overhead per step."""
