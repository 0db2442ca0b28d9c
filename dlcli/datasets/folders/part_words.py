"""Words for the parts of a split, as people write them."""

from __future__ import annotations

import re
from collections.abc import Collection

# Words without case, blanks, hyphens and underscores.
_WORDS = {
    "train": ("train", "training", "trn", "tr"),
    "val": ("val", "valid", "validation", "validate", "dev", "devel", "development"),
    "test": ("test", "testing", "tst", "holdout", "heldout"),
}
_PART = {word: part for part, words in _WORDS.items() for word in words}

# Words that may be the names of classes: a language.
_AMBIGUOUS = frozenset({"tr"})

# What people add to such a word, such as in `train_set`, `test-images` and `train2017`.
_ADDED = re.compile(r"(set|split|data|dataset|images|imgs|files|texts|rows)?\d*$")

# The words that messages list.
SHOWN = "train, val (valid, validation, dev) and test (testing, holdout)"


def part_of(word: str) -> str | None:
    """Return the part of a split that a word stands for: train, val or test; None if it is another word."""
    plain = re.sub(r"[\s_-]+", "", word.casefold())
    return _PART.get(plain) or _PART.get(_ADDED.sub("", plain, count=1))


def part_names(names: Collection[str]) -> list[str]:
    """Return those of several names that stand for parts; a word of another meaning only beside another part's."""
    named = [name for name in names if part_of(name)]
    return named if any(name.casefold().strip() not in _AMBIGUOUS for name in named) else []


def may_be_parts(names: Collection[str]) -> bool:
    """Return whether names such as `seg_train` and `seg_test` may stand for parts: they differ in the part alone."""
    splits = [
        {name[: gap.start()].casefold(): part_of(name[gap.end() :]) for gap in re.finditer(r"[\s_-]+", name)}
        for name in names
    ]
    same = set.intersection(*map(set, splits)) if splits else set()
    return any({"train", "test"} <= {split[before] for split in splits} for before in same)
