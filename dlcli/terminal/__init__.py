"""Output on a terminal: panels, tables, progress bars and notes."""
