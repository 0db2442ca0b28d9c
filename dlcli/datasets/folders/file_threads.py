"""Read files in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dlcli.datasets.folders.bad_files import BadFile
from dlcli.process.cores import share

Item = TypeVar("Item")
Result = TypeVar("Result")

# Number of files queued at a time, and number of files per task of a thread: handing over a single small image would
# take a third of the time of decoding it.
_BLOCK, _AT_ONCE = 4096, 16


def threads() -> int:
    """Return the number of decoding threads; they run in parallel because decoders release the GIL."""
    return min(share(), 16)


def in_threads(work: Callable[[Item], Result], entries: Sequence[Item]) -> Iterator[Result | BadFile]:
    """Yield the result of `work` for each file in order, or the BadFile that it raised."""

    def one(entry: Item) -> Result | BadFile:
        try:
            return work(entry)
        except BadFile as bad:
            return bad

    def several(some: Sequence[Item]) -> list[Result | BadFile]:
        return list(map(one, some))

    count = threads()
    if count == 1:  # a thread beside this one would only take turns with it
        yield from map(one, entries)
        return
    size = max(1, min(_AT_ONCE, len(entries) // (4 * count)))
    with ThreadPoolExecutor(count) as pool:
        for first in range(0, len(entries), _BLOCK):
            block = entries[first : first + _BLOCK]
            for found in pool.map(several, (block[at : at + size] for at in range(0, len(block), size))):
                yield from found
