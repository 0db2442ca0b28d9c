"""Training on several devices with one process per device (a rank); only rank 0 writes the record."""
