"""Sanitisation of texts from data, files and user code before they are shown or recorded."""
