"""Prediction: read files of new rows, predict them and write the predictions, piece by piece."""
