"""Serve a run's saved model over HTTP: requests, answers, the server, and its page."""
