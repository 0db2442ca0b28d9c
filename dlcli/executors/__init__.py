"""Executors run jobs and have the shape of `concurrent.futures`: jobs are plain, so it does not matter where."""
