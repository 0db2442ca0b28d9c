"""`dlcli show`."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from dlcli.cli.common import ConfDirs, Json, Overrides, RunsDir, session
from dlcli.cli.runs_show import tell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dlcli.runs.find import FoundRun
    from dlcli.terminal.console import Terminal


def show(
    overrides: Overrides = None, conf_dir: ConfDirs = None, runs_dir: RunsDir = None, json: Json = False
) -> None:
    """Show the complete configuration of an experiment, and where each value comes from.

    `dlcli show model/lstm` explains one option and its keys; `dlcli show RUN` shows a run. An override takes precedence
    over a run of the same name, which `dlcli runs show RUN` shows.
    """
    with session(json) as terminal, _habits_answered(overrides or [], conf_dir or (), runs_dir):
        from dlcli.config.folders import extend_path, groups, user_folders
        from dlcli.config.project import default_runs_dir

        folders = user_folders(conf_dir or ())
        extend_path(folders)
        words = overrides or []
        alone = words[0] if len(words) == 1 and "=" not in words[0] else ""
        if alone and (alone in groups(folders) or alone.rpartition("/")[0] in groups(folders)):
            _option(terminal, alone, folders)
        elif alone and (found := named_run(alone, runs_dir or default_runs_dir(folders))) is not None:
            _tell(terminal, found)
        elif "/" in alone:
            _option(terminal, alone, folders)
        else:
            _experiment_or_run(terminal, words, folders, runs_dir)


def _experiment_or_run(
    terminal: Terminal, words: Sequence[str], folders: Sequence[Path], runs_dir: Path | None
) -> None:
    """Show an experiment, or the run that a single word names if it is not a valid override (names may contain `=`)."""
    from dlcli.config.next_command import next_command
    from dlcli.config.project import default_runs_dir
    from dlcli.errors import ConfigError

    place = runs_dir or default_runs_dir(folders)
    found = named_run(words[0], place, fetch=False) if len(words) == 1 else None
    try:
        _experiment(terminal, words, folders, runs_dir)
    except ConfigError:
        if found is None:
            raise
        _tell(terminal, found)
        return
    if found is not None and not terminal.json:
        line = next_command("runs", "show", words[0], runs_dir=place)
        terminal.note(f"# A run has this name, too: {line}")


def _tell(terminal: Terminal, found: FoundRun) -> None:
    """Show a run, with a note on how it was found, such as that it is the newest of several with the name."""
    if found.note and not terminal.json:
        terminal.note(found.note)
    tell(terminal, found.run_dir)


@contextmanager
def _habits_answered(words: Sequence[str], conf_dir: Sequence[Path], runs_dir: Path | None) -> Iterator[None]:
    """Raise the error for a single word in another tool's syntax, if it is neither an override nor a run.

    Several words are answered before the command starts; a single word may be the name of a run.
    """
    from dlcli.config.habits import translate_habits
    from dlcli.errors import ConfigError, InputError

    try:
        yield
    except ConfigError:
        options = [text for folder in conf_dir for text in ("-C", str(folder))]
        options += ["--runs-dir", str(runs_dir)] if runs_dir else []
        arguments = ["show", *words, *options]
        problem = translate_habits(arguments, {"-C": True, "--runs-dir": True}) if len(words) == 1 else None
        if problem is None:
            raise
        raise InputError(problem) from None


def named_run(word: str, runs_dir: Path, *, fetch: bool = True) -> FoundRun | None:
    """Return the run that a word names, or None."""
    from dlcli.errors import RunNotFound
    from dlcli.runs.find import find_run

    try:
        return find_run(word, runs_dir, fetch=fetch)
    except RunNotFound:
        return None


def _experiment(
    terminal: Terminal, overrides: Sequence[str], folders: Sequence[Path], runs_dir: Path | None
) -> None:
    from dlcli.config.annotated import annotated
    from dlcli.config.compose import compose
    from dlcli.config.pasted import quoted
    from dlcli.config.reserved_keys import BY_DATA, SUPPLIED

    flags = [f"runs_dir={quoted(str(runs_dir))}"] if runs_dir else []
    composed = compose([*overrides, *flags], folders, SUPPLIED, BY_DATA)
    if terminal.json:
        document = {"config": composed.config, "choices": composed.choices, "origins": composed.origins()}
        terminal.document({"status": "OK", **document})
        return
    terminal.note("# " + " ".join(f"{group}={option}" for group, option in sorted(composed.choices.items())))
    terminal.note(annotated(composed))


def _option(terminal: Terminal, word: str, folders: Sequence[Path]) -> None:
    from dlcli.config.annotated import inline
    from dlcli.config.catalog import explain_option
    from dlcli.config.folders import groups, options
    from dlcli.config.pasted import dlcli_line
    from dlcli.config.suggest import choices
    from dlcli.config.yaml_file import display
    from dlcli.errors import ConfigError

    group, _, name = word.rpartition("/")
    if word in groups(folders) and not (group and name in options(group, folders)):
        names = options(word, folders)
        example = dlcli_line("show", f"{word}/{next(iter(names), 'OPTION')}")
        raise ConfigError("is a group", word, f"Name an option: {example}. {choices(names)}")
    option = explain_option(group, name, folders)
    if terminal.json:
        terminal.document({"status": "OK", **asdict(option)})
        return
    chosen = f"task.metrics=[default,{name}]" if group == "metric" else f"{group}={name}"
    terminal.note(f"{chosen}\n{option.header}\n\n{option.target} in {display(option.file)}".strip())
    for key in option.keys:
        value = "" if key.is_section else f" {inline(key.value)}"
        terminal.note(f"\n{key.name}:{value}{f'  ({key.type})' if key.type else ''}")
        if key.explanation:
            terminal.sentence(f"    {key.explanation}")
    if option.more:
        terminal.note(f"\n{option.target} also accepts")
    for key in option.more:
        terminal.note(f"  {key.name}: {inline(key.value)}{f'  ({key.type})' if key.type else ''}")
