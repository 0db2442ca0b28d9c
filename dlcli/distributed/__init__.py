"""One training on several devices: a process for each (a rank), of which rank 0 alone keeps the record."""
