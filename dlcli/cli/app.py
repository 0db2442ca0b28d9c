"""The `dlcli` program: every module of this package that defines a function of the same name is a command.

If there is a module `GROUP`, a module `GROUP_NAME` is the command `dlcli GROUP NAME`; `dlcli GROUP` is also a command.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import dlcli
from dlcli import cli
from dlcli.errors import InputError, Problem
from dlcli.sanitize.presentable import presentable

# The panels of `dlcli --help`, in the order in which users need the commands.
_PANELS = {
    "Train": ("train", "check", "sweep", "ensemble", "resume"),
    "Look at results": ("runs", "compare", "report", "explain", "label", "ui"),
    "Use a model": ("predict", "eval", "serve", "export", "reproduce"),
    "Find options, add your own": ("list", "show", "new"),
    "Installation and help": ("doctor", "completion", "help", "version"),
}


class _Group(TyperGroup):
    """A group of commands, with control characters in error messages made visible."""

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        with _presentable_errors():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: Any) -> Any:
        with _presentable_errors():
            return super().invoke(ctx)


def _is_one_word(args: Sequence[str], takes_value: Mapping[str, bool]) -> bool:
    """Return whether the arguments are a single word, apart from options of the command."""
    words, left = 0, list(args)
    while left:
        name, equals, _ = left.pop(0).partition("=")
        if not name.startswith("-"):
            words += 1
        elif name not in takes_value:
            return False
        elif takes_value[name] and not equals and left:
            left.pop(0)
    return words == 1


class _Program(_Group):
    """The group of all commands, in the order of the help.

    Commands of other tools result in an error with the equivalent dlcli command. With `--json`, so do wrong arguments.
    """

    _json = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, in the order of the help."""
        order = [name for names in _PANELS.values() for name in names]
        return sorted(super().list_commands(ctx), key=order.index)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the arguments name; for an unknown one that is in a group, suggest `GROUP NAME`."""
        if args and args[0] not in self.commands:
            for name, group in self.commands.items():
                if args[0] in getattr(group, "commands", ()):
                    ctx.fail(f"No such command '{args[0]}'. Write: dlcli {name} {args[0]} ...")
        return super().resolve_command(ctx, args)

    def make_context(self, info_name: str | None, args: list[str], *others: Any, **more: Any) -> Any:
        self._json = "--json" in args
        self._answer_habits(args)
        with self._documented_errors():
            return super().make_context(info_name, args, *others, **more)

    def invoke(self, ctx: Any) -> Any:
        with self._documented_errors():
            return super().invoke(ctx)

    @contextmanager
    def _documented_errors(self) -> Iterator[None]:
        """Report an error in the arguments like all other errors, which typer prints in a box, also into a pipe."""
        try:
            yield
        except Exception as error:
            is_usage_error = getattr(error, "exit_code", None) == InputError.exit_code and hasattr(
                error, "format_message"
            )
            if not is_usage_error or type(error).__name__ == "NoArgsIsHelpError":
                raise
            from dlcli.terminal.console import Terminal

            with Terminal(self._json) as terminal:
                terminal.error(InputError(_usage_problem(error)))
            raise typer.Exit(InputError.exit_code) from None

    def _answer_habits(self, args: list[str]) -> None:
        """If the arguments are in another tool's syntax, exit with an error that shows the equivalent dlcli command."""
        from dlcli.config.program_names import without_program

        found = without_program(args, self.commands)
        problem = self._habits(found[0] if found else args, is_foreign=found is not None)
        if found is not None:
            from dlcli.config.pasted import dlcli_line

            asked, message = found
            problem = Problem(message, hint=problem.hint if problem else f"Write: {dlcli_line(*asked)}")
        if problem:
            from dlcli.terminal.console import Terminal

            with Terminal("--json" in args) as terminal:
                terminal.error(InputError(problem))
            raise typer.Exit(InputError.exit_code)

    def _habits(self, args: list[str], *, is_foreign: bool) -> Problem | None:
        """Return a problem with the equivalent dlcli command if the arguments are in another tool's syntax."""
        from dlcli.config.foreign_commands import FOREIGN_COMMANDS
        from dlcli.config.habits import translate_habits

        name, *part = FOREIGN_COMMANDS.get(args[0], args[0]).split() if args else [""]
        command: Any = self.commands.get(name)
        if part and part[0] in (inner := getattr(command, "commands", {})):
            command = inner[part[0]]
        if command is None:
            return None
        options = [option for option in command.params if option.param_type_name == "option"]
        known = {
            name: not getattr(option, "is_flag", False)
            for option in options
            for name in (*option.opts, *option.secondary_opts)
        } | {"-h": False, "--help": False}
        if args[0] == "runs" and args[1:] and args[1] not in command.commands:
            word = "ls" if args[1] == "list" else args[1]
            if FOREIGN_COMMANDS.get(word, "").startswith("runs"):
                found = self._habits([word, *args[2:]], is_foreign=True)
                return Problem(f"runs {args[1]} is not a dlcli command", hint=found.hint if found else "")
        if args[0] == "show" and _is_one_word(args[1:], known):
            return None  # it may be the name of a run; `show` reports it if it is not
        asked = [word for word in args if word != "--json" or word in known]
        return translate_habits(asked, known, is_foreign=is_foreign)


def _usage_problem(error: Any) -> Problem:
    """Return the problem that typer found in the arguments, with its suggestion or the command's help as the hint."""
    message, _, hint = error.format_message().partition(". ")
    message, _, options = message.partition(" (Possible options: ")
    if options:
        hint = f"Did you mean {' or '.join(options.rstrip(')').split(', '))}?"
    if not hint and (context := getattr(error, "ctx", None)) is not None:
        hint = f"{' '.join(['dlcli', *context.command_path.split()[1:]])} -h shows what can be written."
    message = message if message.endswith("...") else message.removesuffix(".")
    return Problem(message[:1].lower() + message[1:], hint=hint)


@contextmanager
def _presentable_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str):
            error.message = presentable(message)  # type: ignore[attr-defined]
        raise


_SETTINGS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    cls=_Program,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=_SETTINGS,
    rich_markup_mode="markdown",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dlcli {dlcli.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Deep-learning experiments from the shell: configure, train, and keep a reliable record.

    Start with `dlcli train`. `dlcli COMMAND --help` explains a command.
    """


def _register() -> None:
    commands = {}
    for found in pkgutil.iter_modules(cli.__path__):
        command = getattr(importlib.import_module(f"dlcli.cli.{found.name}"), found.name, None)
        if inspect.isfunction(command):
            commands[found.name] = command
    panels = {name: panel for panel, names in _PANELS.items() for name in names}
    groups = {name.partition("_")[0] for name in commands if "_" in name}
    made = {
        name: typer.Typer(cls=_Group, context_settings=_SETTINGS, rich_markup_mode="markdown")
        for name in groups
    }
    for name, command in commands.items():
        group, _, own = name.partition("_")
        if own:
            made[group].command(own, no_args_is_help=False)(command)
        elif name in groups:
            made[name].callback(invoke_without_command=True)(command)
            app.add_typer(made[name], name=name, rich_help_panel=panels[name])
        else:
            app.command(no_args_is_help=False, rich_help_panel=panels[name])(command)


_register()


def main() -> None:
    """The entry point of the `dlcli` script."""
    app(prog_name="dlcli")
