"""`dlcli predict`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dlcli.cli.common import (
    ConfDirs,
    ConformalOption,
    Coverage,
    Json,
    RunsDir,
    SomeModels,
    Trust,
    UseModels,
    session,
)
from dlcli.events import Event, Listener, Note, RowsPredicted, Warned
from dlcli.formatting import counted

if TYPE_CHECKING:
    from dlcli.prediction.make_samples import Wanted
    from dlcli.prediction.output import Write
    from dlcli.terminal.bars import ComputingBar
    from dlcli.terminal.console import Terminal


def predict(
    run: SomeModels,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help="New rows: tables, texts, images or folders of them; - or nothing for standard input. "
            "dataset.KEY=VALUE describes their format.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="A .csv, .parquet or .jsonl; by default CSV on stdout."
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMNS",
            help="Columns to copy to the output: id,name; or all. Quote a name that contains a comma.",
        ),
    ] = None,
    files_dir: Annotated[
        Path | None,
        typer.Option(
            "--files", metavar="DIR", help="Folder for masks and overlays, or for generated images."
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Beginning of a text that a language model continues, or a text with masked words.",
            show_default=False,
        ),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(metavar="N", help="With --prompt: number of tokens to generate; 500 by default."),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            help="With --prompt: below 1, likely tokens are more likely; 0: the most likely; 1 by default.",
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            help="With --prompt: sample from the K most likely tokens; masked words: their number.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="S", help="With --prompt or --samples: random seed.")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="With --prompt: number of texts; without it: number of images to generate, in --files.",
        ),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class", metavar="NAME", help="Class of the images to generate; repeatable.", show_default=False
        ),
    ] = None,
    device: Annotated[Literal["auto", "cpu"], typer.Option(help="Device for the computation.")] = "auto",
    use: UseModels = None,
    coverage: Coverage = None,
    conformal: ConformalOption = None,
    conf_dir: ConfDirs = None,
    trust: Trust = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Predict new rows with a run's saved model.

    Rows are raw, as for training: the preprocessing is part of the saved model. Targets are not needed.

    - `dlcli predict penguins data/penguins.csv --keep island,sex`
    - `dlcli predict penguins data/penguins.csv --output predictions.parquet`
    - `dlcli predict last --prompt 'ROMEO:' --temperature 0.8`

    Tables and texts are read in pieces, so that a file may be larger than memory. For a cross-validation, or for
    RUN1,RUN2, the predictions are the mean over all models, and `spread` is their standard deviation.

    A model of `task=generate` generates images: `dlcli predict RUN --samples 64 --class 7 --files DIR`.
    """
    to_person = output is None and sys.stdout.isatty()
    given = {"tokens": tokens, "temperature": temperature, "top_k": top_k, "seed": seed, "samples": samples}
    asked = {name: value for name, value in given.items() if value is not None}
    refused = {
        "FILE": files,
        "--keep": keep,
        "--files": files_dir,
        "--coverage": coverage,
        "--conformal": conformal,
    }
    with session(json, data=output is None, supervised=True) as terminal:
        from dlcli.files.paths import display
        from dlcli.prediction.make_samples import GRID, MOST_IN_GRID
        from dlcli.prediction.output import as_dicts
        from dlcli.prediction.predict_rows import NewData
        from dlcli.runner import predict as runner

        makes_images = prompt is None and samples is not None and set(asked) <= {"samples", "seed"}
        if prompt is not None or (asked and not makes_images):
            where = {
                "conf_dirs": conf_dir or (),
                "runs_dir": runs_dir,
                "trust": trust,
                "use": use,
                "device": device,
            }
            wrong = [name for name, value in refused.items() if value is not None]
            _continue(terminal, run, prompt, asked, wrong, output, where, json=json)
            return
        rows: list[dict[str, Any]] = []
        to_document = nullcontext(lambda table: rows.extend(as_dicts(table)))
        with ExitStack() as stack:
            # No progress bar if the predictions are printed on the terminal.
            listen = _listener(terminal, None if to_person else stack)
            done = runner.predict(
                run,
                NewData.of(files or (), keep) if samples is None else NewData(()),
                output or (to_document if json else _csv(terminal)),
                device=device,
                conf_dirs=conf_dir or (),
                runs_dir=runs_dir,
                trust=trust,
                use=use,
                coverage=coverage,
                conformal=conformal,
                listen=listen,
                files=files_dir,
                wanted=_wanted(samples, seed, classes or (), files or ()),
            )
        if json:
            found: dict[str, Any] = {"predictions": rows} if output is None else {"output": output.resolve()}
            found |= {"files": (files_dir or runner.SAMPLES).resolve()} if samples is not None else {}
            terminal.document({"status": "OK", **asdict(done), **found})
        elif output is not None:
            terminal.note(f"{counted(done.lines, 'prediction')} in {display(output)}")
        if samples is not None and not json:
            folder = files_dir or runner.SAMPLES
            shown = "all of them" if samples <= MOST_IN_GRID else f"the first {MOST_IN_GRID} of them"
            terminal.note(
                f"{counted(samples, 'image')} in {display(folder)}, {shown} in {display(folder / GRID)}"
            )
        elif files_dir is not None and not json:
            terminal.note(f"Files of predictions in {display(files_dir)}")


def _wanted(
    samples: int | None, seed: int | None, classes: Sequence[str], files: Sequence[str]
) -> Wanted | None:
    """Return the images to generate, or None to predict files."""
    from dlcli.errors import InputError
    from dlcli.prediction.make_samples import Wanted

    if samples is not None and files:
        raise InputError("images are generated from noise, not from files", files[0], "Leave it out.")
    if samples is None and classes:
        raise InputError("is an option for generated images", "--class", "Add --samples 64.")
    return None if samples is None else Wanted(samples, seed or 0, classes)


def _listener(terminal: Terminal, stack: ExitStack | None) -> Listener:
    """Return a listener that shows notes, warnings and, if there is a stack to remove it, a progress bar."""
    bar: ComputingBar | None = None

    def listen(event: Event) -> None:
        nonlocal bar
        match event:
            case Note(text):
                terminal.note(text)
            case Warned(text):
                terminal.warning(text)
            case RowsPredicted(rows) if stack is not None:
                from dlcli.terminal.bars import ComputingBar

                bar = bar or stack.enter_context(ComputingBar(terminal, "predictions", None))
                if rows:
                    bar.advance_to(rows)

    return listen


@contextmanager
def _csv(terminal: Terminal) -> Iterator[Write]:
    from dlcli.prediction.output import csv_to, with_write_errors

    with terminal.data_out() as stdout:
        yield with_write_errors(csv_to(stdout), "standard output")


def _continue(
    terminal: Terminal,
    run: str,
    prompt: str | None,
    asked: dict[str, Any],
    wrong: list[str],
    output: Path | None,
    where: dict[str, Any],
    *,
    json: bool,
) -> None:
    """Generate texts from a prompt, and print them or write them to a file."""
    from dlcli.files.paths import display
    from dlcli.prediction.output import as_dicts
    from dlcli.runner.continuation import check_prompt, continue_prompt
    from dlcli.training.text_sampling import Sampling

    prompt = check_prompt(run, prompt, asked, wrong)
    done = continue_prompt(run, prompt, Sampling(**asked), output, listen=_listener(terminal, None), **where)
    if json:
        facts = {name: getattr(done, name) for name in ("run_id", "run_name", "run_dir", "prompt")}
        found = {"predictions": as_dicts(done.table())} if output is None else {"output": output.resolve()}
        notices = [asdict(notice) for notice in done.notices]
        drawn = {} if done.fillings else asdict(done.sampling)
        terminal.document({"status": "OK", **facts, **drawn, "notices": notices, **found})
    elif output is not None:
        terminal.note(f"{counted(len(done.fillings or done.texts), 'text')} in {display(output)}")
    elif done.fillings:
        with _csv(terminal) as write:
            write(done.table())
    else:
        between = "\n" if done.are_lines else "\n---\n"
        with terminal.data_out() as out:
            out.write((between.join(one.text for one in done.texts) + "\n").encode(errors="replace"))
