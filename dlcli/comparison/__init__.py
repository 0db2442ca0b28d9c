"""Compare runs with statistical tests."""
