"""What a run's folder holds before the job begins: files that the driver writes, and places for folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.config.kept_out import words_text
from dlcli.errors import CorruptRun
from dlcli.gate.gate import current
from dlcli.gate.seal import make_seal
from dlcli.gate.vouching import CODE, CONF_DIRS_FILE, CONFIG_FILE, OVERRIDES_FILE, listing
from dlcli.inference.code import own_code
from dlcli.runs.folder import config_text
from dlcli.tracking.provenance import environment_txt

if TYPE_CHECKING:
    from dlcli.splits.split import Split


def contents(
    config: Mapping[str, Any], overrides: Sequence[str], split: Split, folders: Sequence[Path]
) -> dict[str, str | bytes]:
    """The files that are known before the job: configuration, overrides, environment, split, the user's own code."""
    gate = current()  # of a run that goes on: what its folder says is sealed only if it was
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


def refuse_no_folders(run_dir: Path) -> None:
    """Refuse a run in whose folder something else stands where a folder of its own goes.

    Raises:
        CorruptRun: with what stands there.
    """
    for name in ("checkpoints", "model", "plots"):
        place = run_dir / name
        if not place.is_dir() and (place.exists() or place.is_symlink()):
            raise CorruptRun("is no folder, and the run needs one there", str(place), "Move it away.")
