"""Words that denote parts of a split."""

from __future__ import annotations

import re
from collections.abc import Collection

# Words in lower case, without blanks, hyphens and underscores.
_WORDS = {
    "train": ("train", "training", "trn", "tr"),
    "val": ("val", "valid", "validation", "validate", "dev", "devel", "development"),
    "test": ("test", "testing", "tst", "holdout", "heldout"),
}
_PART = {word: part for part, words in _WORDS.items() for word in words}

# Words that may also be class names, such as codes of languages.
_AMBIGUOUS = frozenset({"tr"})

# Additions to such a word, as in `train_set`, `test-images` and `train2017`.
_ADDED = re.compile(r"(set|split|data|dataset|images|imgs|files|texts|rows)?\d*$")

# The words that messages list.
SHOWN = "train, val (valid, validation, dev) and test (testing, holdout)"


def part_of(word: str) -> str | None:
    """Return the part of a split that a word denotes: train, val or test; None if it denotes none."""
    plain = re.sub(r"[\s_-]+", "", word.casefold())
    return _PART.get(plain) or _PART.get(_ADDED.sub("", plain, count=1))


def part_names(names: Collection[str]) -> list[str]:
    """Return the names that denote parts; an ambiguous word counts only if another name denotes a part."""
    named = [name for name in names if part_of(name)]
    return named if any(name.casefold().strip() not in _AMBIGUOUS for name in named) else []


def may_be_parts(names: Collection[str]) -> bool:
    """Return whether names such as `seg_train` and `seg_test`, which differ only in a part, may denote parts."""
    splits = [
        {name[: gap.start()].casefold(): part_of(name[gap.end() :]) for gap in re.finditer(r"[\s_-]+", name)}
        for name in names
    ]
    same = set.intersection(*map(set, splits)) if splits else set()
    return any({"train", "test"} <= {split[before] for split in splits} for before in same)
