"""The table of measurements in the documentation, between two markers; lines that were not measured anew remain."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench._budget import Pair, ratios

BEGIN, END = "<!-- bench peers: begin -->", "<!-- bench peers: end -->"
HEADER = (
    "| work | compared with | CPU s | peer | ratio | wall s | peer | ratio | pairs, load |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
)
CELLS = HEADER.count("|", 0, HEADER.index("\n")) - 1


@dataclass(frozen=True)
class Line:
    """A row of the table: the pairs of one work and one peer, and the mean load of the machine meanwhile."""

    work: str
    peer: str
    versions: str
    pairs: Sequence[Pair]
    load: float

    def __str__(self) -> str:
        cells = [self.work, f"{self.peer} ({self.versions})" if self.versions else self.peer]
        for clock in ("cpu", "wall"):
            ours, theirs = (statistics.median(pair[side][clock] for pair in self.pairs) for side in (0, 1))
            found = ratios(self.pairs, clock)
            spread = f" ({min(found):.2f} to {max(found):.2f})" if len(found) > 1 else ""
            cells += [f"{ours:.3g}", f"{theirs:.3g}", f"{statistics.median(found):.2f}{spread}"]
        return "| " + " | ".join([*cells, f"{len(self.pairs)}, {self.load:.1f}"]) + " |"


def replaced(page: str, order: Sequence[tuple[str, str]], measured: Sequence[Line]) -> str:
    """Return the page with the new lines in its table.

    Args:
        page: text with the two markers.
        order: work and peer of every line that the table may have.
        measured: new lines.

    Raises:
        ValueError: the page does not have each marker once, in this order.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"the page needs the lines {BEGIN} and {END} once, in this order")
    before, _, rest = page.partition(BEGIN)
    table, _, after = rest.partition(END)
    lines = known_lines(table) | {(line.work, line.peer): str(line) for line in measured}
    body = "".join(f"{lines[key]}\n" for key in order if key in lines)
    return f"{before}{BEGIN}\n\n{HEADER}{body}\n{END}{after}"


def known_lines(table: str) -> dict[tuple[str, str], str]:
    """Return the lines of a written table by work and peer; the peer's versions, in parentheses, are no part of it."""
    found = {}
    for line in table.strip().splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == CELLS:
            found[cells[0], cells[1].partition(" (")[0]] = line
    return found
