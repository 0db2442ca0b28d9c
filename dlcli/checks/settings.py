"""Settings that are allowed, and do less than they seem to: nothing is refused for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dlcli.config.build import build
from dlcli.config.kept_out import kept_out
from dlcli.errors import Problem

if TYPE_CHECKING:
    from dlcli.experiment import Experiment


def warn(experiment: Experiment, tell: Callable[[str], None], words: str = "the same words") -> None:
    """What a person should know before the training: a line each, and one for all that says where advice is."""
    from dlcli.checks.profile import find_warnings

    warnings = [*find_doubts(experiment.config), *find_warnings(experiment.data, experiment.splits)]
    for warning in warnings:
        tell(f"warning: {warning.where}: {warning.message}")
    if any(warning.hint for warning in warnings):
        tell(f"  hint: see dlcli check, with {words}, for what to do about it")


def find_doubts(config: Mapping[str, Any]) -> Iterator[Problem]:
    """What of a configuration a person should know before it is trained."""
    yield from _cut_cycle(config)
    for key in kept_out(config):
        yield Problem(
            "is a secret in plain text: the record does not keep it, and what goes on with the run needs it again",
            key,
            f"Put it into a variable of your own and write '{key}=${{oc.env:NAME}}', which is recorded like that.",
        )


def _cut_cycle(config: Mapping[str, Any]) -> Iterator[Problem]:
    """A cycle is best at its end, and worse than before in its middle, where the rate is high: that looks like the end.

    A schedule that only falls, such as a cosine, is left alone: what stops there has stopped improving.
    """
    from pytorch_lightning.callbacks import EarlyStopping

    target, epochs = config["scheduler"].get("_target_", ""), config["trainer"].get("max_epochs") or -1
    if not target.endswith(".OneCycleLR"):
        return
    for name, node in config["callbacks"].items():
        callback = build(node, where=f"callbacks.{name}") if node else None
        if isinstance(callback, EarlyStopping) and callback.patience < epochs:
            yield Problem(
                f"may end the training before its one cycle of {epochs} epochs is complete: the best comes at its end",
                f"callbacks.{name}",
                f"Give callbacks=none, or callbacks.{name}.patience={epochs}: the best epoch is kept anyway.",
            )
