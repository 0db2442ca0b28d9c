"""The reading of columns: what the cells of a table mean, decided on whole columns, and written down with the model."""
