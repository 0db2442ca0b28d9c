"""`export` of a model that generates texts: a folder with an encoder, a step of the decoder, and the encodings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlcli.errors import InputError
from dlcli.exporting.decoding_programs import compared, write_programs
from dlcli.exporting.export_network import Exported, example_batches
from dlcli.exporting.exported_program import batch_size_of, need_onnx
from dlcli.exporting.new_folder import check_new_folder, new_folder
from dlcli.files.paths import resolved
from dlcli.inference.saved_model import SavedModel
from dlcli.preprocessing.pairs import PairSubwords
from dlcli.preprocessing.subwords import END, PADDING, START
from dlcli.runs.folder import OpenedRun, with_overrides
from dlcli.runs.model_errors import model_errors

_DESCRIPTION = "description.json"


def export_decoding(
    opened: OpenedRun, model: SavedModel, folder: Path, overrides: Sequence[str] = ()
) -> Exported:
    """Write `encoder.onnx`, `decoder.onnx`, `source.json` and `target.json` (tokenizers), and `description.json`.

    The folder appears only after the programs have computed the same logits as the model in the greedy decoding of rows
    of the run's data.

    Args:
        opened: the run.
        model: its model, which is `Decodes`.
        folder: the folder, which may be empty or absent.
        overrides: overrides with the current location of the run's data.

    Raises:
        InputError: The folder exists, has the name of a file, or a package is missing.
        DlcliError: The model cannot be exported, or the programs compute other logits.
        DataError: The run's rows cannot be found.
    """
    subwords = model.preprocessing
    if not isinstance(subwords, PairSubwords):
        raise InputError(
            f"the encodings of {type(subwords).__name__} cannot be exported", "--output", "Use dlcli predict."
        )
    if folder.suffix:
        raise InputError(
            f"{type(model.network.model).__name__} generates one token at a time, which takes two programs, "
            "an encoder and a decoder",
            str(folder),
            f"Name a folder: --output {folder.stem}",
        )
    folder = resolved(folder)
    check_new_folder(folder, "--output")
    need_onnx()
    dataset = with_overrides(opened.config, overrides)["dataset"]
    with model_errors(opened.folder):
        batches = example_batches(opened, model, dataset)
    network: Any = model.network.cpu().eval().model
    rows = sum(batch_size_of(batch) for batch in batches)
    with model_errors(opened.folder), new_folder(folder, "the programs") as made:
        programs = write_programs(network, made, subwords.max_length)
        difference, equal = compared(programs, network, batches, subwords.most_steps)
        (made / "source.json").write_text(subwords.source_subwords.json(), encoding="utf-8")
        (made / "target.json").write_text(subwords.target_subwords.json(), encoding="utf-8")
        description = {
            "schema_version": 1,
            "run_id": opened.ledger.run_id,
            "run_name": opened.ledger.run_name,
            "tokens": {"padding": PADDING, "start": START, "end": END},
            **subwords.numbering(),
            "most_source_tokens": subwords.max_length,
            "most_target_tokens": subwords.most_steps,
            **programs.described(),
            "rows_compared": rows,
            "equal_texts": equal,
            "largest_difference": difference,
        }
        (made / _DESCRIPTION).write_text(
            json.dumps(description, ensure_ascii=False, indent=2), encoding="utf-8"
        )
    texts = f"Greedy decoding by the programs gives the model's text for {equal} of {rows} rows."
    return Exported(
        folder, folder / _DESCRIPTION, rows, difference, opened.ledger.run_id, (*opened.notes, texts)
    )
