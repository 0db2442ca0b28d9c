"""`dlcli explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from dlcli.cli.common import ConfDirs, DataPlace, Json, RunsDir, SomeModels, Trust, session

_SHOWN = 12
_WORDS = 4


def explain(
    run: SomeModels,
    overrides: DataPlace = None,
    rows: Annotated[
        int, typer.Option(min=20, metavar="N", help="Maximum number of rows for the importance.")
    ] = 1000,
    repeats: Annotated[int, typer.Option(min=2, metavar="N", help="Permutations of each column.")] = 10,
    examples: Annotated[
        int,
        typer.Option(
            min=0,
            max=24,
            metavar="N",
            help="Number of the worst, and of typical, images or texts to explain.",
        ),
    ] = 6,
    conf_dir: ConfDirs = None,
    trust: Trust = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Show which columns, pixels or words a model uses, and on which groups of rows its error is largest.

    It is computed on rows that were not used for training: the final test rows, or the held-out rows of a
    cross-validation.
    `dlcli report` also shows the result.

    - `dlcli explain folded`
    """
    with session(json, supervised=True) as terminal:
        from dlcli.files.paths import display
        from dlcli.formatting import number
        from dlcli.runner import explain as runner
        from dlcli.sanitize.presentable import presentable_name
        from dlcli.terminal.flowing import flowing

        found = runner.explain(
            run,
            rows=rows,
            repeats=repeats,
            examples=examples,
            overrides=overrides or (),
            conf_dirs=conf_dir or (),
            runs_dir=runs_dir,
            trust=trust,
        )
        if json:
            terminal.document(found.to_json())
            return

        def show(lines: list[dict[str, str]], right: tuple[str, ...]) -> None:
            for text in flowing(lines, terminal.console.width, right=right):
                terminal.note(text)

        terminal.note(
            f"{presentable_name(found.run_name)}: {found.rows:,} {found.of_rows}, loss {number(found.loss)}"
        )
        show(
            [
                {
                    "column": presentable_name(" + ".join(one.columns)),
                    "increase of the loss": number(one.drop),
                    "95% CI": f"{number(one.low)} to {number(one.high)}",
                }
                for one in found.importances[:_SHOWN]
            ],
            ("increase of the loss",),
        )
        show(
            [
                {
                    "slice": presentable_name(f"{one.column}: {one.value}"),
                    "rows": f"{one.rows:,}",
                    found.error: number(one.error),
                    "difference": number(one.difference),
                    "95% CI": f"{number(one.low)} to {number(one.high)}",
                    "Holm p": f"{one.p:.2g}",
                }
                for one in found.slices[:_SHOWN]
                if one.difference > 0
            ],
            ("rows", found.error, "difference", "Holm p"),
        )
        show(
            [
                {
                    "row": f"{one.row} ({one.which})",
                    "target": presentable_name(one.target),
                    "prediction": presentable_name(one.prediction),
                    "words that raise it": presentable_name(_strongest((*one.words, *one.statistics), 1)),
                    "lower it": presentable_name(_strongest((*one.words, *one.statistics), -1)),
                }
                for one in found.examples
                if one.words
            ],
            (),
        )
        for message in found.messages:
            terminal.sentence(message)
        for file in found.files:
            terminal.sentence(f"Written: {display(file)}")


def _strongest(words: tuple[tuple[str, float], ...], sign: int) -> str:
    """Return the words and statistics with the largest attributions of a sign, and these."""
    sums: dict[str, float] = {}
    for word, value in words:
        if word.strip():
            sums[word.lower()] = sums.get(word.lower(), 0.0) + value
    found = sorted(((sign * value, word) for word, value in sums.items() if sign * value > 0), reverse=True)
    return ", ".join(f"{word} {sign * value:+.2g}" for value, word in found[:_WORDS])
