"""Suggestions for misspelt names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path

_FEW = 16

# Characters that are ignored when names are compared; characters such as < and + are significant.
_PUNCTUATION = re.compile(r"[\s_.,:;/()\[\]{}'\"\-\u2010-\u2015]+")


def near(word: str, candidates: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """Return at most three candidates that resemble the word, the nearest first.

    If some differ only in case, blanks and punctuation, others are not suggested.
    """
    names = sorted(set(candidates))
    if same := same_names(word, names):
        return same[:3]
    folded = {name.lower(): name for name in names}
    matches = get_close_matches(word.lower(), folded, n=3, cutoff=cutoff)
    # If a name differs in one letter only, do not suggest more distant ones.
    likeness = [SequenceMatcher(None, match, word.lower()).ratio() for match in matches]
    return [folded[match] for match, like in zip(matches, likeness, strict=True) if like > likeness[0] - 0.1]


def same_names(word: str, candidates: Iterable[str]) -> list[str]:
    """Return the candidates that differ from the word only in case, blanks and punctuation."""
    meant = _letters(word)
    return [name for name in candidates if meant and name != word and _letters(name) == meant]


def _letters(name: str) -> str:
    return _PUNCTUATION.sub("", unicodedata.normalize("NFKC", name).casefold())


def near_files(name: str, there: Iterable[str]) -> list[str]:
    """Return at most three files whose names resemble the name.

    Extensions are not compared, because a shared extension makes any two names similar. The cutoff is higher than for
    keys, because file names are short and have less in common with each other.
    """
    files = sorted(set(there))
    stems = near(Path(name).stem, (Path(file).stem for file in files), cutoff=0.75)
    found = [file for stem in stems for file in files if Path(file).stem == stem]
    ending = Path(name).suffix
    return sorted(found, key=lambda file: Path(file).suffix != ending)[:3]


def near_keys(key: str, known: Iterable[str]) -> list[str]:
    """Return the dotted keys that a misspelt key may mean: similar siblings, the same name elsewhere, similar keys."""
    known = set(known)
    parent, _, last = key.rpartition(".")
    siblings = near(last, (_last(k) for k in known if k.rpartition(".")[0] == parent))
    if siblings and parent:
        return [f"{parent}.{name}" for name in siblings]
    # `lr` means optimizer.lr rather than a key with a similar name.
    elsewhere = sorted((k for k in known if _last(k) == last), key=lambda k: (k.count("."), k))
    if elsewhere or parent in known:
        return elsewhere[:3]
    similar = near(last, map(_last, known))
    return near(key, known) or sorted(k for k in known if _last(k) in similar)[:3]


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return a question with the candidates that resemble the word; empty if there are none."""
    return question(near(word, candidates))


def question(names: Iterable[str]) -> str:
    """Return "Did you mean ...?" with the names; empty if there are none."""
    quoted = list(names)
    return f"Did you mean {' or '.join(quoted)}?" if quoted else ""


def choices(names: Iterable[str]) -> str:
    """Return the choices as a sentence, truncated to the first 16."""
    listed = sorted(names, key=_natural)
    more = f", ... ({len(listed)} in all)" if len(listed) > _FEW else ""
    return f"Choices: {', '.join(listed[:_FEW])}{more}." if listed else ""


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts c2 before c10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def hint(*sentences: str) -> str:
    """Join the sentences that are not empty."""
    return " ".join(sentence for sentence in sentences if sentence)


def _last(key: str) -> str:
    return key.rpartition(".")[2]
