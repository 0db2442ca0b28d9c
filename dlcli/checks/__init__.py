"""All that is said before training: mistakes, warnings, and what the data and this machine hold."""
