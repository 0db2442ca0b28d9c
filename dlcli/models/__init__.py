"""Models: one file each, a plain `nn.Module` whose `__init__` names the facts of the data that it wants."""
