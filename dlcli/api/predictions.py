"""`dlcli.predict` and `dlcli.generate`: predictions for files of new rows, texts that continue a prompt, and images."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dlcli.api.session import command_session, path_list, path_or_none, word_list

if TYPE_CHECKING:
    import pandas as pd
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def predict(
    run: str | Path,
    files: str | Path | Sequence[str | Path] | None = None,
    *,
    output: str | Path | None = None,
    keep: Sequence[str] | Literal["all"] = (),
    overrides: str | Sequence[str] = (),
    files_dir: str | Path | None = None,
    device: Literal["auto", "cpu"] = "auto",
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
    trust: bool = False,
    use: Literal["folds", "refit"] | None = None,
    coverage: float | None = None,
    conformal: Literal["plain", "plus", "adaptive"] | None = None,
    prompt: str | None = None,
    tokens: int | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    seed: int | None = None,
    samples: int | None = None,
) -> pd.DataFrame | None:
    """Predict files of new rows with a run's saved model, or continue a `prompt`, as `dlcli predict` does.

    For rows in memory use `load_run(run).predict(rows)`.

    Args:
        run: a run ID or its beginning, a name, a folder, `last` or `best`; `RUN1,RUN2` is an ensemble.
        files: tables, texts, images or folders of them, of the kind that the run was trained on. Targets may be absent.
        output: a .csv, .parquet or .jsonl to write; required for files larger than memory.
        keep: columns of tables and texts to copy to the output, or `"all"`.
        overrides: format of the files: `dataset.separator=;`.
        files_dir: a folder for masks and overlays, for models of images with masks.
        device: `auto` uses an accelerator if there is one.
        conf_dirs: the user's own configuration folders; model code next to them may run.
        runs_dir: the folder of all runs; None uses the project's, by default `runs`.
        trust: also run model code that is only in the run's folder.
        use: models of a cross-validation: `folds` for the mean of its folds' models, `refit` for the refitted model
            (the default if there is one).
        coverage: add the columns `set`, or `low` and `high`, which are to cover this share of new rows.
        conformal: method of these sets and intervals, as `--conformal` of the command.
        prompt: beginning of texts that a language model continues, instead of `files`; may be empty. For a masked
            language model, a text with mask tokens in place of words.
        tokens: with a prompt, the number of tokens to generate, 500 by default.
        temperature: with a prompt, values below 1 favour likely tokens; 0 selects the most likely; 1 by default.
        top_k: with a prompt, sample from this number of most likely tokens; for masked words, the number of tokens for
            each, 5 by default.
        seed: with a prompt, the random seed.
        samples: with a prompt, the number of texts, 1 by default.

    Returns:
        The output of `dlcli predict`, in the order of the files: one line per row (for series, per forecast step), with
        columns that identify the row, those of `keep`, `prediction`, and for classes the probability of each,
        `p(NAME)`. None if `output` is given. `attrs["notices"]` of the table lists values that were left out, converted
        or unseen in training: `key`, `count`, `text`, `where`, `hint`, `warns`. With a prompt, one line per text:
        `sample`, `text` (with the prompt) and `tokens`, the number of generated tokens; or for masked words one line
        per token: `mask` (number of the word), `token`, `probability`, and `text`.

    Warns:
        UserWarning: information is lost, such as a category that does not occur in the training rows.

    Raises:
        dlcli.errors.RunNotFound: there is no such run.
        dlcli.errors.DataError: a file, row or column is not valid for the model.
        dlcli.errors.InputError: `output` cannot be written, or a prompt is incompatible with the model or arguments.
    """
    import pandas as pd
    import pyarrow as pa

    from dlcli.datasets.notices import as_plain, warn_of
    from dlcli.prediction.predict_rows import NewData
    from dlcli.runner import predict as runner

    given = {"tokens": tokens, "temperature": temperature, "top_k": top_k, "seed": seed, "samples": samples}
    asked: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if prompt is not None or asked or files is None:
        others = {
            "files": files,
            "keep": keep,
            "overrides": overrides,
            "files_dir": files_dir,
            "coverage": coverage,
            "conformal": conformal,
        }
        with command_session():
            from dlcli.runner.continuation import check_prompt, continue_prompt
            from dlcli.training.text_sampling import Sampling

            prompt = check_prompt(str(run), prompt, asked, [name for name, value in others.items() if value])
            done = continue_prompt(
                str(run),
                prompt,
                Sampling(**asked),
                path_or_none(output),
                device=device,
                conf_dirs=path_list(conf_dirs),
                runs_dir=path_or_none(runs_dir),
                trust=trust,
                use=use,
            )
        warn_of(done.notices)
        if output is not None:
            return None
        texts = done.table().to_pandas()
        texts.attrs["notices"] = as_plain(done.notices)
        return texts
    names = [files] if isinstance(files, str | Path) else files
    data = NewData([Path(file) for file in names], word_list(overrides), keep)
    tables: list[pa.Table] = []
    with command_session():
        predicted = runner.predict(
            str(run),
            data,
            Path(output) if output is not None else nullcontext(tables.append),
            files=path_or_none(files_dir),
            device=device,
            conf_dirs=path_list(conf_dirs),
            runs_dir=path_or_none(runs_dir),
            trust=trust,
            use=use,
            coverage=coverage,
            conformal=conformal,
        )
    warn_of(predicted.notices)
    if output is not None:
        return None
    table = pa.concat_tables(tables).to_pandas() if tables else pd.DataFrame()
    table.attrs["notices"] = as_plain(predicted.notices)
    return table


def generate(
    run: str | Path,
    samples: int,
    *,
    seed: int = 0,
    classes: Sequence[str] = (),
    files_dir: str | Path | None = None,
    device: Literal["auto", "cpu"] = "auto",
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
    trust: bool = False,
) -> tuple[np.ndarray, pd.DataFrame]:
    """Generate images with a run of `task=generate`, as `dlcli predict RUN --samples N` does.

    Args:
        run: a run ID or its beginning, a name, a folder, `last` or `best`.
        samples: number of images.
        seed: seed of their noise. The same seed gives the same images; a larger number only adds images.
        classes: names of the classes, in turn; all of them by default.
        files_dir: a new folder for the images as PNG files, and `grid.png` with all of them; None writes none.
        device: `auto` uses an accelerator if there is one.
        conf_dirs: the user's own configuration folders; model code next to them may run.
        runs_dir: the folder of all runs; None uses the project's, by default `runs`.
        trust: also run model code that is only in the run's folder.

    Returns:
        The images as bytes, `(samples, H, W)` or `(samples, H, W, 3)`, and a table with a line for each: `sample`,
        `class`, `recognized_as` (the class predicted by the judge), and `file` with a `files_dir`.

    Raises:
        dlcli.errors.RunNotFound: there is no such run.
        dlcli.errors.InputError: its model does not generate images, the class does not exist, or the folder has files.
    """
    with command_session():
        from dlcli.runner import generate as runner

        return runner.generate(
            str(run),
            samples,
            seed,
            classes,
            path_or_none(files_dir),
            device=device,
            conf_dirs=path_list(conf_dirs),
            runs_dir=path_or_none(runs_dir),
            trust=trust,
        )
