"""The Python API: a function for each command, from Python's types to those of the runner.

Importing it is instant: each function imports the module of its command when it is called.
"""
