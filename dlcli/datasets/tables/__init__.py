"""Tables in files: read as they are, each mistake named by file, row and column."""
