"""The Python API: functions for the commands that train, check and use models, which take plain Python types.

Importing it is instant: each function imports the module of its command when it is called.
"""
