"""`Transcripts`: the texts that recordings are converted into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from dlcli.config.target_kinds import TargetKind
from dlcli.datasets.target_rows import TargetRows
from dlcli.datasets.text_rows import Texts
from dlcli.statistics.edit_distance import edit_distances

# Training transcripts that are compared with each other to find the typical one.
_COMPARED = 300


class Transcripts(Texts, TargetRows):
    """The transcript of each recording.

    Args:
        values: the texts.
        files: the names of the recordings, which tables of predictions contain.
    """

    target_kind: ClassVar[TargetKind] = "ctc"
    dtype: ClassVar = np.dtype(object)  # what stands in the place of a type of numbers

    def __init__(self, values: pa.Array | pa.ChunkedArray, files: Texts) -> None:
        super().__init__(values, "transcript")
        self.files = files

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> Transcripts:
        """Return some of the rows in this order."""
        return Transcripts(super().__getitem__(rows).values, self.files[rows])

    def facts(self, train: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        """Return the symbols of the training transcripts, sorted, with their numbers, and a typical transcript.

        - `characters` and `character_counts`, `words` and `word_counts`;
        - `typical_text`: the transcript with the smallest sum of edit distances to the others, of at most 300 of them;
        - `transcripts`: their number.
        """
        texts = list(self[train])
        characters = Counter(character for text in texts for character in text)
        words = Counter(word for text in texts for word in text.split())
        some = [texts[row] for row in np.linspace(0, len(texts) - 1, min(len(texts), _COMPARED)).astype(int)]
        return {
            "characters": sorted(characters),
            "character_counts": [characters[one] for one in sorted(characters)],
            "words": sorted(words),
            "word_counts": [words[one] for one in sorted(words)],
            "typical_text": _medoid(some),
            "transcripts": len(texts),
        }

    def described(self, names: Sequence[str]) -> str:
        """Return that targets are transcripts."""
        return "targets are transcripts"


def _medoid(texts: Sequence[str]) -> str:
    distances = [int(edit_distances([text] * len(texts), texts).sum()) for text in texts]
    return texts[int(np.argmin(distances))] if texts else ""
