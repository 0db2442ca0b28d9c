"""The optimizers that solve a model, in a configuration: they take no batches, and have no learning rate."""

# Names of the classes, which are not imported to read a configuration.
SOLVERS = frozenset({"PenaltyPath", "GrowTrees"})
