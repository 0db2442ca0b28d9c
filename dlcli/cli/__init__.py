"""The command line: one thin file per command, which imports its work in the body of its function."""
