"""The record: a ledger on disk, and MLflow as its projection."""
