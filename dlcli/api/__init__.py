"""The Python API: functions for the commands that train, check and use models, with plain Python types.

Importing it is fast, because each function imports the module of its command when it is called.
"""
