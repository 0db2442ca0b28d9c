"""Splits of the rows into training, validation and test rows."""
