"""Limits on the requests that a server accepts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServeLimits:
    """Limits of a server.

    Attributes:
        bytes: of the body of a request.
        rows: of a request.
        pixels: of an uploaded image; all those of a request have at most four times as many.
        seconds: until the body of a request has to be there, and then until its answer.
        queue: requests that wait for the model; one more is refused.
        held: bytes of all bodies that are in memory at the same time.
        connections: number of open ones from which on requests are refused.
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
