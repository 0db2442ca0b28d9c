"""Texts from data, files and users' code made safe to show and to record."""
