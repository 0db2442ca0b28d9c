"""How a text file of a table is written, in the words of a `dataset` section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Separator = Literal["auto", ",", ";", "\t", "tab", "|", " "]
Decimal = Literal["auto", ".", ","]
Choice = Literal["auto"] | bool


@dataclass(frozen=True)
class Written:
    """What a user may say; auto: it is found out.

    Attributes:
        separator: between columns.
        decimal: the decimal sign.
        header: whether the first line names the columns.
        quotes: whether a cell may stand in quotes, which are no part of it then.
        encoding: such as utf-8 or latin-1.
    """

    separator: Separator = "auto"
    decimal: Decimal = "auto"
    header: Choice = "auto"
    quotes: Choice = "auto"
    encoding: str = "utf-8"

    def options(self) -> dict[str, Any]:
        """The same as keywords of `read_table` and `find_dialect`, None where something is to be found out."""
        return {
            "separator": {"auto": None, "tab": "\t"}.get(self.separator, self.separator),
            "decimal": None if self.decimal == "auto" else self.decimal,
            "header": None if self.header == "auto" else self.header,
            "quotes": None if self.quotes == "auto" else self.quotes,
            "encoding": self.encoding,
        }
