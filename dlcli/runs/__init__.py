"""Runs on disk: creating, finding, opening and reading them."""
