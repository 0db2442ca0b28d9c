"""Serving a run's saved model over HTTP: requests, their answers, the server, and its page."""
