"""Words for the parts of a split, as people write them."""

from __future__ import annotations

import re
from collections.abc import Collection

# Words without case, blanks, hyphens and underscores.
_WORDS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "validate", "dev", "devel", "development"),
    "test": ("test", "testing", "tst", "holdout", "heldout"),
}
_PART = {word: part for part, words in _WORDS.items() for word in words}

# What people add to such a word, such as in `train_set`, `test-images` and `train2017`.
_ADDED = re.compile(r"(set|split|data|dataset|images|imgs|files|texts|rows)?\d*$")

# The words that messages list.
SHOWN = "train, val (valid, validation, dev) and test (testing, holdout)"


def part_of(word: str) -> str | None:
    """Return the part of a split that a word stands for: train, val or test; None if it is another word."""
    plain = re.sub(r"[\s_-]+", "", word.casefold())
    return _PART.get(plain) or _PART.get(_ADDED.sub("", plain, count=1))


def may_be_parts(names: Collection[str]) -> bool:
    """Return whether names such as `seg_train` and `seg_test` may stand for parts: they differ in the part alone."""
    words = [re.split(r"[\s_-]+", name, maxsplit=1) for name in names]
    parts = {part_of(split[-1]) for split in words if len(split) == 2}
    same = {split[0].casefold() for split in words}
    return len(same) == 1 and all(len(split) == 2 for split in words) and {"train", "test"} <= parts - {None}
