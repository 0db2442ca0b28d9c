"""Sentences of a small made-up language and their translations, for tests of sequence-to-sequence learning."""

from __future__ import annotations

import random
from pathlib import Path

_NOUNS = {"Mann": "man", "Hund": "dog", "Frau": "woman", "Ball": "ball"}
_VERBS = {"sieht": "sees", "sucht": "seeks"}
_WORDS = {"alte": "old", "kleine": "small", "rote": "red"}


def sentences(rows: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return pairs of sentences; most sources occur once."""
    draw = random.Random(seed)

    def noun() -> tuple[str, str]:
        word, own = draw.choice(list(_WORDS)), draw.choice(list(_NOUNS))
        return f"{word} {own}", f"{_WORDS[word]} {_NOUNS[own]}"

    found = []
    for _ in range(rows):
        first, second, verb = noun(), noun(), draw.choice(list(_VERBS))
        number = draw.randint(1, 99)
        found.append(
            (
                f"Der {first[0]} {verb} {number} {second[0]}.",
                f"The {first[1]} {_VERBS[verb]} {number} {second[1]}.",
            )
        )
    return found


def write_pairs(file: Path, pairs: list[tuple[str, str]], header: str = "de\ten") -> Path:
    """Write pairs as a table with tabs, and return the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        "".join(f"{line}\n" for line in [header, *("\t".join(pair) for pair in pairs)]), encoding="utf-8"
    )
    return file
