"""Run the commands of docs/course/ for real, and make the pictures that its pages show.

    make bench ARGS="course FOLDER"

Commands run in FOLDER, which must hold `data/` for the pages that read files. Runs that are there already are not
repeated. Prints the metrics of each run, for the tables of the pages.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

from typer.testing import CliRunner

from dlcli.cli.app import app
from dlcli.errors import DlcliError
from dlcli.runs.find import find_run
from dlcli.runs.folder import recorded_epochs
from dlcli.tracking.ledger import Ledger

PAGES = Path(__file__).resolve().parents[1] / "docs" / "course"
PICTURE = re.compile(r"\]\(pictures/(\S+)-([a-z_]+)\.png\)")


def main(folder: str = "build/course") -> None:
    """Run all commands; exit with 1 if one fails."""
    pictures = PAGES / "pictures"
    pictures.mkdir(exist_ok=True)
    texts = [page.read_text() for page in sorted(PAGES.glob("*.md"))]
    Path(folder).mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    for language in ("python", "yaml"):
        for name, content in re.findall(rf"```{language}\n# (\S+)\n(.*?)```", "\n".join(texts), re.DOTALL):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(content)
    failed = False
    for text in texts:
        blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        commands = [c for block in blocks for c in re.findall(r"^dlcli (?:.*\\\n)*.*", block, re.MULTILINE)]
        for command in commands:
            words = shlex.split(command.replace("\\\n", " "))[1:]
            name = words[words.index("--name") + 1] if "--name" in words else ""
            if not (name and _is_finished(name)):
                done = CliRunner().invoke(app, words)
                failed |= done.exit_code != 0
                if done.exit_code:
                    print(
                        f"FAILED ({done.exit_code}): {shlex.join(words)}\n{done.output[-1500:]}", flush=True
                    )
                    continue
            if name:
                _print_metrics(name)
        for name, plot in PICTURE.findall(text):
            try:
                plots = find_run(name, Path("runs")).run_dir / "plots"
                shutil.copy(plots / f"{plot}.png", pictures / f"{name}-{plot}.png")
            except (DlcliError, OSError) as error:
                print(f"no picture {name}-{plot}: {error}", flush=True)
                failed = True
    if failed:
        sys.exit(1)


def _is_finished(name: str) -> bool:
    try:
        return Ledger.load(find_run(name, Path("runs")).run_dir).status == "FINISHED"
    except DlcliError:
        return False


def _print_metrics(name: str) -> None:
    folder = find_run(name, Path("runs")).run_dir
    ledger = Ledger.load(folder)
    last = {f"last:{key}": value for key, value in (recorded_epochs(folder) or [{}])[-1].items()}
    figures = {**last, **ledger.metrics}
    print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()), flush=True)
