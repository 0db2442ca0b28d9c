"""The command line: one thin file a command, each of which imports its work in its function's body."""
