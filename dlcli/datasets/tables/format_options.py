"""Format options of delimited text files in a `dataset` section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Separator = Literal["auto", ",", ";", "\t", "tab", "|", " "]
Decimal = Literal["auto", ".", ","]
AutoOrBool = Literal["auto"] | bool


@dataclass(frozen=True)
class FormatOptions:
    """Format options that a user can set; auto detects the value.

    Attributes:
        separator: column separator.
        decimal: decimal sign.
        header: whether the first line contains the column names.
        quotes: whether cells may be enclosed in quotes, which are then not part of the value.
        encoding: encoding such as utf-8 or latin-1.
    """

    separator: Separator = "auto"
    decimal: Decimal = "auto"
    header: AutoOrBool = "auto"
    quotes: AutoOrBool = "auto"
    encoding: str = "utf-8"

    def options(self) -> dict[str, Any]:
        """Return the options as keywords of `read_table` and `find_dialect`, with None for values to detect."""
        return {
            "separator": {"auto": None, "tab": "\t"}.get(self.separator, self.separator),
            "decimal": None if self.decimal == "auto" else self.decimal,
            "header": None if self.header == "auto" else self.header,
            "quotes": None if self.quotes == "auto" else self.quotes,
            "encoding": self.encoding,
        }
