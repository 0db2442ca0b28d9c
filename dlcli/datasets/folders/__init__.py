"""Files in folders and archives: finding them, and reading their class and part from the folders' names."""
