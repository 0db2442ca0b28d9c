"""Atomic writing of files, paths, and errors of the file system."""
