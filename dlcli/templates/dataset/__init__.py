"""A dataset of the user's own."""
