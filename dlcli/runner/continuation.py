"""`dlcli predict --prompt`: continue a text, or fill its masked words, with a run's saved language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pyarrow as pa

from dlcli.config.pasted import dlcli_line
from dlcli.datasets.notices import Notice
from dlcli.errors import InputError
from dlcli.events import Listener, Note, Warned, ignore
from dlcli.inference.evaluation import choose_device
from dlcli.inference.filling import Filling, fill_masks, fills_masks
from dlcli.inference.generation import continue_text, language_of
from dlcli.prediction.output import check_output, written_to
from dlcli.runner import runs_directory
from dlcli.runs.ensembles import Use, open_model
from dlcli.runs.model_errors import model_errors
from dlcli.training.text_sampling import Generated, Sampling


@dataclass(frozen=True)
class Continued:
    """The result of `dlcli predict --prompt`.

    Attributes:
        run_id: of the run whose model generated.
        run_name: its name.
        run_dir: the folder of its artifacts.
        prompt: the beginning of the texts.
        sampling: how tokens were drawn.
        texts: the texts.
        are_lines: whether each text is a line.
        notices: characters of the prompt that are unknown to the model.
        fillings: tokens for the masked words of the prompt, for a masked language model, which generates no texts.
    """

    run_id: str
    run_name: str
    run_dir: Path
    prompt: str
    sampling: Sampling
    texts: tuple[Generated, ...]
    are_lines: bool
    notices: tuple[Notice, ...] = ()
    fillings: tuple[Filling, ...] = ()

    def table(self) -> pa.Table:
        """Return the texts, with their numbers and the numbers of their generated tokens; or the fillings."""
        if self.fillings:
            return pa.Table.from_pylist([vars(one) for one in self.fillings])
        return pa.table(
            {
                "sample": pa.array(range(len(self.texts)), pa.int64()),
                "text": pa.array([one.text for one in self.texts], pa.string()),
                "tokens": pa.array([one.tokens for one in self.texts], pa.int64()),
            }
        )


def check_prompt(run: str, prompt: str | None, asked: Mapping[str, object], others: Sequence[str]) -> str:
    """Return the prompt, which is required by sampling settings and excludes arguments for files of rows.

    Args:
        run: the run as the user has named it, for the message.
        prompt: the beginning of the texts, if given.
        asked: the settings of the sampling, as options of the command.
        others: names of the given arguments that are for files of rows only.

    Raises:
        InputError: there is no prompt, or there are such arguments.
    """
    if prompt is None:
        where = f"--{next(iter(asked)).replace('_', '-')}" if asked else "FILE"
        what = "is for texts that a language model generates" if asked else "there are no rows to predict"
        raise InputError(
            what, where, "Add --prompt TEXT, or remove it." if asked else "Name a file, or a prompt."
        )
    if others:
        hint = f"Remove one of the two. The loss of a file's text: {dlcli_line('predict', run, 'FILE')}"
        raise InputError("does not go together with a prompt", others[0], hint)
    return prompt


def continue_prompt(
    run: str,
    prompt: str,
    sampling: Sampling,
    output: Path | None = None,
    *,
    device: Literal["auto", "cpu"] = "auto",
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    trust: bool = False,
    use: Use | None = None,
    listen: Listener = ignore,
) -> Continued:
    """Generate texts that begin with a prompt, or fill its masked words; write them to a file if there is an `output`.

    Raises:
        InputError: the run's model is not a language model, the prompt does not fit it, or the file cannot be written.
    """
    _check_text(prompt)
    if output is not None:
        check_output(output, ())
    found = open_model(run, runs_directory(runs_dir), conf_dirs, trust=trust, use=use)
    for note in found.notes:
        listen(Note(note))
    ledger = found.run.ledger
    done = Continued(ledger.run_id, ledger.run_name, found.run.folder, prompt, sampling, (), are_lines=False)
    chosen = choose_device("cpu" if device == "cpu" else "auto")
    if fills_masks(found.model):
        with model_errors(found.run.folder):
            done = replace(done, fillings=tuple(fill_masks(found.model, prompt, sampling, chosen)))
        return _written(done, output)
    language = language_of(found.model)
    if language.are_documents_ and "\n" in prompt:
        raise InputError(
            "has a line feed, but the model's texts are single lines",
            "--prompt",
            "Give the beginning of one line.",
        )
    notices = []
    if unknown := language.unknown_in(prompt):
        shown = ", ".join(map(repr, unknown))
        text = (
            f"the prompt has characters that are not in the training rows ({shown}), and are read as unknown"
        )
        notices.append(Notice("unseen_characters", len(unknown), text, "--prompt"))
    for notice in notices:
        listen(Warned(notice.text))
    with model_errors(found.run.folder):
        texts = tuple(continue_text(found.model, prompt, sampling, chosen))
    done = replace(done, texts=texts, are_lines=language.are_documents_, notices=tuple(notices))
    return _written(done, output)


def _written(done: Continued, output: Path | None) -> Continued:
    """Return what was found, which is written if there is an `output`."""
    if output is not None:
        with written_to(output) as write:
            write(done.table())
    return done


def _check_text(prompt: str) -> None:
    """Raise an InputError for bytes of the command line that are not text: Python reads them as lone surrogates."""
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        code = ord(prompt[error.start])
        byte = f"the byte 0x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"U+{code:04X}"
        raise InputError(
            f"has {byte} as character {error.start + 1:,}, which is not UTF-8",
            "--prompt",
            "Give the prompt in UTF-8.",
        ) from error
