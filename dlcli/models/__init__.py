"""Models: plain `nn.Module` classes, one per file, whose `__init__` asks for facts of the data by parameter name."""
