"""Select the overrides of an earlier run that remain in effect when new overrides are added."""

from __future__ import annotations

from collections.abc import Sequence

from dlcli.config.overrides import Setting, leaves, parse


def kept_words(recorded: Sequence[str], overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the recorded overrides that remain in effect, and a line on those that a new option removes.

    A recorded override is replaced if the new ones set the same keys, and removed if they choose another option of its
    group.
    """
    settings = parse(overrides)[0]
    set_again = set[str]().union(*map(_keys, settings))
    groups = {
        setting.key for setting in settings if "." not in setting.key and not isinstance(setting.value, dict)
    }
    below = tuple(start for group in groups for start in (f"{group}/", f"{group.replace('/', '.')}."))
    kept, void = [], []
    for word in recorded:
        keys = set[str]().union(*map(_keys, parse([word])[0]))
        if keys and keys <= set_again:
            continue
        if any(key.startswith(below) for key in keys):
            void.append(word)
            continue
        kept.append(word)
    return kept, [f"Left out, since the option changes: {' '.join(void)}"] if void else []


def _keys(setting: Setting) -> set[str]:
    """Return the keys that a setting sets; for `optimizer={lr: 1}` the keys of the mapping, as the option stays."""
    if "." in setting.key or not isinstance(setting.value, dict):
        return {setting.key}
    return {leaf.key for leaf in leaves(setting)} - {setting.key}
