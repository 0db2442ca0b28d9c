"""The files that a run's driver writes into its folder before the job begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.config.kept_out import words_text
from dlcli.gate.gate import current
from dlcli.gate.seal import make_seal
from dlcli.gate.vouching import CODE, CONF_DIRS_FILE, CONFIG_FILE, OVERRIDES_FILE, listing
from dlcli.inference.code import own_code
from dlcli.run_folder import config_text
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
