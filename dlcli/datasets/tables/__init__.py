"""Reading table files, with errors that name file, row and column."""
