"""Models: plain `nn.Module` classes, one per file, whose `__init__` takes facts of the data by parameter name."""
