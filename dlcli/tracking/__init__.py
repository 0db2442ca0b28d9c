"""The record of runs: a ledger on disk, and its projection to MLflow."""
