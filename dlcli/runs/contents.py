"""The initial contents of a run's folder, which the driver writes before the job starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcli.config.plain_secrets import words_text
from dlcli.errors import CorruptRun
from dlcli.gate.gate import current
from dlcli.gate.seal import make_seal
from dlcli.gate.vouching import CODE, CONF_DIRS_FILE, CONFIG_FILE, OVERRIDES_FILE, listing
from dlcli.inference.code import own_code
from dlcli.runs.folder import config_text
from dlcli.splits.split import Split
from dlcli.tracking.provenance import environment_txt


def contents(
    config: Mapping[str, Any], overrides: Sequence[str], split: Split, folders: Sequence[Path]
) -> dict[str, str | bytes]:
    """Return the files that are known before the job: configuration, overrides, environment, split and user code."""
    gate = current()  # the gate of a resumed run: its new parts are sealed only if the run is
    code = own_code(config, [folder.parent for folder in folders])
    sealed: dict[str, str | bytes] = {
        CONFIG_FILE: config_text(config),
        OVERRIDES_FILE: words_text(overrides),
        **({CONF_DIRS_FILE: "".join(f"{folder}\n" for folder in folders)} if folders else {}),
    }
    return {
        **sealed,
        **(make_seal({**sealed, CODE: listing(code)}) if gate is None or gate.sealed else {}),
        "environment.txt": environment_txt(),
        "split.npz": split.to_bytes(),
        **{f"{CODE}/{name}": content for name, content in code.items()},
    }


def check_subfolders(run_dir: Path) -> None:
    """Check that subfolders which the run needs are folders, if they exist.

    Raises:
        CorruptRun: Something else is in the place of one.
    """
    for name in ("checkpoints", "model", "plots"):
        place = run_dir / name
        if not place.is_dir() and (place.exists() or place.is_symlink()):
            raise CorruptRun("is not a folder, but the run needs one there", str(place), "Move it away.")
