"""Prediction: files of new rows in, predictions out, piece by piece."""
