"""Masks: one class for each pixel of an image, as targets."""
