"""The Python API: a function for each command, which takes plain Python types.

Importing it is instant: each function imports the module of its command when it is called.
"""
