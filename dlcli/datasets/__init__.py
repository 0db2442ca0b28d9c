"""Datasets: one file each, with a function that returns `Data`."""
