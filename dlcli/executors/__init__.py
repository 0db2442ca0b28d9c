"""Executors run jobs through an interface like that of `concurrent.futures`; jobs are plain data."""
