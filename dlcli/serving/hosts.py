"""Names and addresses of this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_local(name: str) -> bool:
    """Return whether a host name or address can only reach this machine itself.

    With another name in the header Host, a request may come from a web page whose name was made to resolve to this
    machine (DNS rebinding).
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
