"""What a person sees on a terminal: panels, tables, bars and notes."""
