"""Data of the Hugging Face library `datasets`: opened, and read as rows."""
