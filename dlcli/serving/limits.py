"""Limits on the requests that a server accepts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServeLimits:
    """Limits of a server.

    Attributes:
        bytes: maximum size of the body of a request, in bytes.
        rows: maximum number of rows of a request.
        pixels: maximum number of pixels of an image; all images of a request have at most four times as many.
        seconds: timeout in seconds for receiving the body of a request, and again for its answer.
        queue: maximum number of requests that wait for the model; further ones are refused.
        held: maximum size of all bodies in memory, in bytes.
        connections: number of open connections from which on requests are refused.
        idle: seconds after which a connection without a request is closed.
    """

    bytes: int = 16 << 20
    rows: int = 10_000
    pixels: int = 50_000_000
    seconds: float = 30.0
    queue: int = 256
    held: int = 256 << 20
    connections: int = 1000
    idle: float = 10.0
