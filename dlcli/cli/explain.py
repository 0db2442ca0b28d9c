"""`dlcli explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from dlcli.cli.common import ConfDirs, DataPlace, Json, RunsDir, SomeModels, Trust, session

_SHOWN = 12


def explain(
    run: SomeModels,
    overrides: DataPlace = None,
    rows: Annotated[int, typer.Option(min=20, metavar="N", help="Most rows for the importance.")] = 1000,
    repeats: Annotated[int, typer.Option(min=2, metavar="N", help="Permutations of each column.")] = 10,
    conf_dir: ConfDirs = None,
    trust: Trust = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Show which columns a run's model uses, and on which groups of rows its error is largest.

    It is computed on rows that training did not see: the final test rows, or the held-out rows of a cross-validation.

    - `dlcli explain folded`
    """
    with session(json, supervised=True) as terminal:
        from dlcli.formatting import number
        from dlcli.runner import explain as runner
        from dlcli.sanitize.presentable import presentable_name
        from dlcli.terminal.flowing import flowing

        found = runner.explain(
            run,
            rows=rows,
            repeats=repeats,
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
                    "rise of the loss": number(one.drop),
                    "95% CI": f"{number(one.low)} to {number(one.high)}",
                }
                for one in found.importances[:_SHOWN]
            ],
            ("rise of the loss",),
        )
        show(
            [
                {
                    "slice": presentable_name(f"{one.column}: {one.value}"),
                    "rows": f"{one.rows:,}",
                    found.error: number(one.error),
                    "more than others": number(one.difference),
                    "95% CI": f"{number(one.low)} to {number(one.high)}",
                    "Holm p": f"{one.p:.2g}",
                }
                for one in found.slices[:_SHOWN]
                if one.difference > 0
            ],
            ("rows", found.error, "more than others", "Holm p"),
        )
        for message in found.messages:
            terminal.sentence(message)
