"""Augmentation: changed copies of training batches, made where the batch is.

An augmentation is called with a batch of training rows, as preprocessing made them (images as bytes), and returns one.
Where it mixes rows, the batch has two more fields: `y_mixed`, the targets of the rows that were mixed in, and their
`share`, a number: the loss is the mean of both targets' losses, weighted so.
"""
