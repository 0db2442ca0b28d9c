"""A model of the user's own."""
