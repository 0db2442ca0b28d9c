"""Augmentation of training batches, on the device of the batch.

An augmentation is called with a batch of preprocessed training rows (images as bytes) and returns an augmented batch.
If it mixes rows, the batch has two more fields: `y_mixed`, the targets of the rows that were mixed in, and `share`,
their weight. The loss is then the mean of the losses of both targets, weighted by `1 - share` and `share`.
"""
