"""The report of one run: its sections."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from dlcli import __version__
from dlcli.errors import CorruptRun
from dlcli.files.paths import display
from dlcli.formatting import age_text, amount, duration
from dlcli.page.account import Account, configuration_text
from dlcli.page.blocks import Block, Cell, Command, Facts, Figures, Folded, Gallery, Page, Prose, Section
from dlcli.page.explanation import blocks_of_explanation
from dlcli.page.figures import (
    figures_tables,
    key_figures,
    table_of_folds,
    table_of_importances,
    table_of_members,
    table_of_trials,
)
from dlcli.page.generated_texts import table_of_texts
from dlcli.page.learning import diagnosis_of, learning_curves_of
from dlcli.page.pictures import SALIENCY_TITLE, read_pictures
from dlcli.page.wording import data_name, kind_words, what_was_done
from dlcli.runs.overview import pictures_in
from dlcli.tracking.mlflow_tags import LIKE_TAG, NOTE_TAG, REPRODUCES_TAG

_COLUMNS, _CLASSES = 12, 20  # numbers of columns and classes that are shown at first

_VERSIONS = {
    "dlcli": "dlcli.version",
    "Python": "dlcli.python_version",
    "torch": "dlcli.torch_version",
    "Lightning": "dlcli.lightning_version",
    "MLflow": "dlcli.mlflow_version",
    "machine": "dlcli.host",
    "user": "mlflow.user",
    "git commit": "mlflow.source.git.commit",
}


def page_of_run(account: Account, now: datetime) -> Page:
    """Return the report of one run."""
    ledger = account.ledger
    lead = [Prose(what_was_done(account)), *_status(account)]
    if note := ledger.tags.get(NOTE_TAG):
        lead.append(Prose(f"Note: {note}", "quiet"))
    problems: list[str] = list(account.missing)
    pictures = _pictures(account, problems)
    sections = (
        Section("Results", _results(account)),
        Section("Learning curves", _curves(account)),
        Section("Generated texts", _some(table_of_texts(account.generated))),
        Section("Members", _some(table_of_members(account))),
        Section("Folds", _some(table_of_folds(account), *pictures.get("folds", ()))),
        Section("Trials", _trials(account, pictures.get("trials", ()))),
        Section("Predictions", (*pictures.get("", ()), *_worst(account))),
        Section("Explanation", _explanation(account, pictures.get("explanation", ()), problems)),
        Section("Data and split", _data(account)),
        Section("Configuration", _configuration(account)),
        Section("Environment", _environment(account)),
        Section("Repeat", _repeat(account)),
        Section("What is missing", tuple(Prose(text, "quiet") for text in dict.fromkeys(problems))),
    )
    return Page(
        ledger.run_name,
        f"{kind_words(account)} · {ledger.experiment}",
        tuple(lead),
        (*key_figures(account), *_key_facts(account, now)),
        tuple(section for section in sections if section.blocks),
        (ledger.run_id,),
        made_by(now),
        is_judged=bool(key_figures(account)),
    )


def summary_of_run(account: Account, now: datetime) -> Page:
    """Return the summary of a run for a notebook: status, figures, learning curves, and the trials of a sweep."""
    whole = page_of_run(account, now)
    kept = ("Results", "Learning curves", "Trials")
    sections = [
        replace(section, blocks=tuple(block for block in section.blocks if not isinstance(block, Gallery)))
        for section in whole.sections
        if section.title in kept
    ]
    return replace(whole, sections=tuple(sections))


def made_by(now: datetime) -> str:
    """Return the line at the foot of a page: date and version."""
    return f"dlcli {__version__}, {now.astimezone().isoformat(' ', 'minutes')}"


def _status(account: Account) -> list[Prose]:
    status, error = account.run.status, account.ledger.error
    match status:
        case "FINISHED":
            return []
        case "FAILED":
            first, _, rest = (error or "no reason was recorded").partition("\n")
            return [Prose(f"The run FAILED: {first}", "error", rest.strip())]
        case "KILLED":
            text = "The run was KILLED before its end: what follows is what it had recorded until then."
            return [Prose(text, "error", (error or "").strip())]
    return [
        Prose(f"The run has not ended ({status}): what follows is what it has recorded so far.", "warning")
    ]


def _key_facts(account: Account, now: datetime) -> list[tuple[str, str, str]]:
    run = account.run
    facts = []
    if run.duration is not None:
        earlier = run.ledger.earlier_s
        resumed = f", {duration(earlier)} before it was resumed" if earlier else ""
        facts.append(("took", duration(run.duration), f"status {run.status}{resumed}"))
    if run.created_at is not None:
        local = run.created_at.astimezone() if 1 < run.created_at.year < 9999 else run.created_at
        age = age_text((now - run.created_at).total_seconds())
        facts.append(("created", local.date().isoformat(), f"{local.strftime('%H:%M')}, {age} ago"))
    return facts


def _some(*blocks: Block | None) -> tuple[Block, ...]:
    return tuple(block for block in blocks if block is not None)


def _results(account: Account) -> tuple[Block, ...]:
    tables = figures_tables(account)
    command = (account.run.result.best or {}).get("command")  # shown below the trials
    said = [
        text
        for text in account.run.result.messages
        if text != _diagnosis(account)
        and not (isinstance(command, str) and command in text)
        and not any(isinstance(table, Figures) and text in (table.note or "") for table in tables)
    ]
    found: list[Block] = [*tables, *(Prose(text) for text in said)]
    if not tables:
        found.insert(0, Prose("No figures were recorded.", "quiet"))
    return tuple(found)


def _diagnosis(account: Account) -> str:
    """Return the sentence about over- and underfitting: the recorded one, or one about the epochs so far."""
    if account.ledger.kind not in ("run", "fold", "refit", "trial") or account.folds:
        return ""
    if account.run.status == "FINISHED" and account.run.result.messages:
        return account.run.result.messages[-1]
    return diagnosis_of(account) if account.epochs else ""


def _curves(account: Account) -> tuple[Block, ...]:
    drawing = learning_curves_of(account)
    text = _diagnosis(account)
    return _some(drawing, Prose(text) if text and drawing is not None else None)


def _trials(account: Account, pictures: tuple[Block, ...]) -> tuple[Block, ...]:
    table = table_of_trials(account)
    best = account.run.result.best or {}
    command = best.get("command")
    winner: list[Block] = []
    if isinstance(command, str):
        winner = [Prose("Train the best trial again:", "quiet"), Command(command)]
    return _some(table, table_of_importances(account), *pictures, *winner)


def _pictures(account: Account, problems: list[str]) -> dict[str, tuple[Block, ...]]:
    """Return the pictures by section; a child run does not show its parent's pictures."""
    folder = account.run.pictures
    if folder is None or folder.parent != account.ledger.run_dir or folder.is_symlink():
        return {}
    left_out = {"learning_curves"} if learning_curves_of(account) is not None else set()
    shown, sentences = read_pictures(pictures_in(folder), left_out)
    problems += sentences
    found: dict[str, list[Any]] = {}
    places = {"Each fold": "folds", SALIENCY_TITLE: "explanation"}
    trials = (
        "The trials",
        "What mattered",
        "Settings of the trials",
        "The two most important settings",
        "Pareto front",
    )
    for picture in shown:
        place = "trials" if picture.title in trials else places.get(picture.title, "")
        found.setdefault(place, []).append(picture)
    return {place: (Gallery(tuple(pictures)),) for place, pictures in found.items()}


def _worst(account: Account) -> tuple[Block, ...]:
    judged = account.judged
    if judged is None:
        return ()
    return _some(judged.worst, Prose(judged.remark, "quiet") if judged.remark else None)


def _explanation(account: Account, pictures: tuple[Block, ...], problems: list[str]) -> tuple[Block, ...]:
    if account.explanation is None:
        return ()
    try:
        blocks = blocks_of_explanation(account.explanation, account.ledger)
    except CorruptRun as damage:
        problems.append(f"The explanation: {damage.problems[0].message}.")
        return ()
    return (*blocks[:2], *pictures, *blocks[2:])


def _data(account: Account) -> tuple[Block, ...]:
    tags, about = account.ledger.tags, account.about
    profile, panel = about.get("profile", {}), about.get("panel", {})
    blocks: list[Block] = []
    facts = {"data": panel.get("data", data_name(account))}
    source = account.section("dataset")
    for key in ("path", "root"):
        if isinstance(place := source.get(key), str):
            facts[key] = place
    facts |= {key: panel[key] for key in ("note", "unseen", "reading") if key in panel}
    if profile.get("rows_are"):
        facts["rows"] = f"{profile['rows']:,} {profile['rows_are']}"
    facts |= {f"target {name}": text for name, text in profile.get("targets", {}).items()}
    for what in ("data", "split"):
        if value := tags.get(f"dlcli.{what}_fingerprint"):
            facts[f"fingerprint of the {what}"] = value
    proof = tags.get("dlcli.preprocessing") or next(
        (
            f.ledger.tags["dlcli.preprocessing"]
            for f in account.folds
            if "dlcli.preprocessing" in f.ledger.tags
        ),
        "",
    )
    if proof:
        facts["preprocessing"] = proof
    blocks.append(Facts(facts))
    if account.sizes:
        names = {"train": "training", "val": "validation", "test": "final test"}
        if account.ledger.kind == "fold":
            names["test"] = "held-out"
        if account.ledger.kind != "cv":
            rows = tuple((names[part], rows) for part, rows in account.sizes.items())
            note = "No row is in two parts." if len(rows) > 1 else ""
            blocks.append(Figures("split", "Split", ("part", "rows"), rows, note))
    if classes := profile.get("classes"):
        total = sum(classes.values()) or 1
        lines: tuple[tuple[Cell, ...], ...] = tuple((n, c, f"{c / total:.1%}") for n, c in classes.items())
        blocks.append(Figures("classes", "Classes", ("class", "rows", "share"), lines, many=_CLASSES))
    columns = profile.get("columns", {})
    read = {column.name: column.describe() for column in account.run.columns or ()}
    if columns or read:
        names_ = dict.fromkeys([*columns, *read])
        wide = [(name, columns.get(name, ""), read.get(name, "")) for name in names_]
        kept = [0, *(column for column in (1, 2) if any(row[column] for row in wide))]
        heading = tuple(("column", "values", "read as")[column] for column in kept)
        described = tuple(tuple(row[column] for column in kept) for row in wide)
        blocks.append(Figures("columns", "Columns", heading, described, many=_COLUMNS))
    warnings = about.get("warnings")
    for one in warnings or ():
        blocks.append(
            Prose(
                f"{one['where']}: {one['message']}" if one["where"] else one["message"],
                "warning",
                one["hint"],
            )
        )
    known = {(one["where"], one["message"]) for one in warnings or ()}
    for notice in account.run.result.notices:
        text, hint = (str(notice.get(key, "")) for key in ("text", "hint"))
        if (notice.get("where", ""), text) in known:
            continue
        blocks.append(Prose(f"{text}.", "warning" if notice.get("warns") else "quiet", hint))
    if warnings is not None and not warnings and not account.run.result.notices:
        blocks.append(Prose("There are no warnings about the data.", "quiet"))
    if not about:
        blocks.append(
            Prose("The run was recorded by an earlier version, without a profile of the data.", "quiet")
        )
    return tuple(blocks)


def _configuration(account: Account) -> tuple[Block, ...]:
    blocks: list[Block] = []
    if account.words:
        pairs = [word.partition("=") for word in account.words]
        rows = tuple((key, value.strip("'")) for key, _, value in pairs)
        blocks.append(Figures("overrides", "Changed from the defaults", ("key", "value"), rows))
    elif account.config and account.ledger.kind not in ("fold", "trial", "refit"):
        blocks.append(Prose("Nothing was changed from the defaults.", "quiet"))
    if account.config:
        blocks.append(Folded("The whole configuration", configuration_text(account)))
    return tuple(blocks)


def _environment(account: Account) -> tuple[Block, ...]:
    tags = account.ledger.tags
    facts = {name: tags[tag] for name, tag in _VERSIONS.items() if tags.get(tag)}
    if tags.get("dlcli.git_dirty") == "true" and "git commit" in facts:
        facts["git commit"] += ", with uncommitted changes"
    panel = account.about.get("panel", {})
    if "device" in panel:
        facts["device"] = panel["device"]
    packages = account.environment
    count = len(packages.splitlines())
    return _some(
        Facts(facts) if facts else None,
        Folded(f"{count:,} installed packages", packages) if packages else None,
    )


def _repeat(account: Account) -> tuple[Block, ...]:
    run, tags = account.run, account.ledger.tags
    blocks: list[Block] = []
    if run.repeat is not None:
        blocks.append(Command(run.repeat))
    blocks += [Prose(remark, "quiet") for remark in run.remarks]
    facts = {"run": account.ledger.run_id, "folder": display(account.ledger.run_dir)}
    for tag, words in ((REPRODUCES_TAG, "reproduces"), (LIKE_TAG, "like")):
        if value := tags.get(tag):
            facts[words] = value
    own = {k: v for k, v in tags.items() if v and not k.startswith(("dlcli.", "mlflow."))}
    if own:
        facts["tags"] = ", ".join(f"{name}={value}" for name, value in own.items())
    files = ", ".join(f"{name} {amount(size)}" for name, size in run.files.items())
    if files:
        facts["files"] = files
    blocks.append(Facts(facts))
    return tuple(blocks)
