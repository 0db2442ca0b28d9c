"""Sentences of words, with a tag for each word."""
