"""Measurements of dlcli side by side with what a user would pick instead. Ratios matter, not absolute times."""
