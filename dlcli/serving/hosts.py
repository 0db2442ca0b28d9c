"""Names and addresses of this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_local(name: str) -> bool:
    """Return whether a name or address is one under which only this machine is reached.

    Another name in the header Host is that of a page whose address was changed to this machine's after it was loaded,
    so that it could read the answers (DNS rebinding).
    """
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_of(address: str) -> str:
    """Return the host of an address such as `//[::1]:8000`; empty if there is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
