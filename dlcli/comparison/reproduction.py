"""Compare a run with its repetition: environment, code, weights and metrics, and whether seeds explain differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors.torch import load_file
from scipy import stats

from dlcli.cross_validation.children import families
from dlcli.formatting import counted, number
from dlcli.gate.documents import read_text
from dlcli.gate.vouching import CODE
from dlcli.tracking.digests import MODEL_MANIFEST, check_recorded, digest
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.manifest import check_model
from dlcli.tracking.run_provenance import environment_txt

ENVIRONMENT_FILE = "environment.txt"

_WEIGHTS = Path("model", "weights.safetensors")
_ENVIRONMENT_BYTES = 4 << 20
_ALPHA = 0.05

# Tags that describe the machine and the versions of a run.
_MACHINE = {
    "dlcli.python_version": "python",
    "dlcli.version": "dlcli",
    "dlcli.host": "host",
    "mlflow.source.git.commit": "git commit",
}


@dataclass(frozen=True)
class Change:
    """A value that differs between a run and its repetition; None where it is absent."""

    name: str
    was: str | None
    now: str | None

    def words(self) -> str:
        """Return the change in words: `torch: 2.14.0, now 2.15.0`."""
        return f"{self.name}: {self.was or 'not there'}, now {self.now or 'not there'}"


@dataclass(frozen=True)
class Reproduction:
    """The result of `dlcli reproduce`.

    Attributes:
        run_id: the run that was repeated.
        run_name: its name.
        environment: package versions and properties of the machine that differ.
        code: files of the user's code that differ; None if the run was recorded without their digests.
        weights: `equal` (bit for bit), `differ`, or `unknown` if the weights of both were not kept.
        weights_of: number of models whose weights were compared, and number of all models (a cross-validation has one
            per fold).
        largest_weight_difference: the largest absolute difference of a weight; None if the weights are unknown.
        figures: whether all metrics are equal.
        differences: the metrics that differ, with both values.
        within_seeds: whether other seeds explain the difference of the metric; None if it is equal, or unknown.
        verdict: the conclusion in sentences.
        trials: for a search, the numbers of trials whose settings or value differ; None without a search.
    """

    run_id: str
    run_name: str
    environment: tuple[Change, ...]
    code: tuple[Change, ...] | None
    weights: Literal["equal", "differ", "unknown"]
    weights_of: tuple[int, int]
    largest_weight_difference: float | None
    figures: bool
    differences: dict[str, tuple[float | None, float | None]]
    within_seeds: bool | None
    verdict: tuple[str, ...]
    trials: tuple[int, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the `--json` document."""
        return asdict(self)


def environment_changes(ledger: Ledger) -> list[Change]:
    """Return the packages whose installed versions differ from those with which a run was recorded.

    Raises:
        CorruptRun: The list of packages differs from what was recorded, or cannot be read.
    """
    check_recorded(ledger, ENVIRONMENT_FILE)
    then = _packages(read_text(ledger.run_dir / ENVIRONMENT_FILE, _ENVIRONMENT_BYTES, "the list of packages"))
    now = _packages(environment_txt())
    names = sorted({*then, *now}, key=str.lower)
    return [Change(name, then.get(name), now.get(name)) for name in names if then.get(name) != now.get(name)]


def machine_changes(old: Ledger, new: Ledger) -> list[Change]:
    """Return the differences of versions and machine, as far as both runs have recorded them."""
    return [
        Change(words, old.tags[tag], new.tags[tag])
        for tag, words in _MACHINE.items()
        if tag in old.tags and tag in new.tags and old.tags[tag] != new.tags[tag]
    ]


def code_changes(old: Ledger, present: Mapping[str, bytes]) -> list[Change] | None:
    """Return the files of the user's code that differ from the copies in a run's folder, by their digests.

    Return None if the run was recorded without digests.
    """
    if old.digests is None and present:
        return None
    recorded = {
        name.removeprefix(f"{CODE}/"): digests[-1]
        for name, digests in (old.digests or {}).items()
        if name.startswith(f"{CODE}/")
    }
    now = {name: digest(content) for name, content in present.items()}
    return [
        Change(name, _short(recorded.get(name)), _short(now.get(name)))
        for name in sorted({*recorded, *now})
        if recorded.get(name) != now.get(name)
    ]


def compare_repetition(
    old: Ledger,
    new: Ledger,
    environment: Sequence[Change],
    code: Sequence[Change] | None,
    seeds: Sequence[Ledger],
) -> Reproduction:
    """Compare a finished run with its repetition.

    Args:
        old: the run.
        new: the repetition.
        environment: differences of the environment.
        code: differences of the code; None if unknown.
        seeds: runs of the same configuration with other seeds, which show the variation between seeds; may be empty.
    """
    weights, largest, of = _weights(old, new)
    differences = _differences(old, new)
    verdict = [_of_weights(weights, largest, of), _of_figures(differences, old)]
    within, trials = None, _other_trials(old, new)
    verdict += _of_search(old, new, trials)
    if differences and trials is None:
        within, words = _explained(old, new, seeds)
        verdict.append(words)
    return Reproduction(
        old.run_id,
        old.run_name,
        (*environment, *machine_changes(old, new)),
        None if code is None else tuple(code),
        weights,
        of,
        largest,
        not differences,
        differences,
        within,
        tuple(filter(None, verdict)),
        trials,
    )


def _other_trials(old: Ledger, new: Ledger) -> tuple[int, ...] | None:
    """Return the numbers of trials that differ in their settings, status or value; None for runs without trials."""
    then, now = ({trial["trial"]: trial for trial in one.result.get("trials", ())} for one in (old, new))
    if not then:
        return None
    same = ("params", "status", "value")
    return tuple(
        number
        for number in sorted(then.keys() | now.keys())
        if any(then.get(number, {}).get(key) != now.get(number, {}).get(key) for key in same)
    )


def _of_search(old: Ledger, new: Ledger, others: tuple[int, ...] | None) -> list[str]:
    """Return sentences on the trials of a sweep and its winner, or on what each fold chose."""
    if others is None:
        then, now = old.result.get("chosen") or [], new.result.get("chosen") or []
        if not any(then):
            return []
        folds = [str(number) for number, (a, b) in enumerate(zip(then, now, strict=False)) if a != b]
        if not folds:
            return [f"All {len(then)} folds chose the same settings."]
        return [f"Other settings were chosen by fold {', '.join(folds)} of {len(then)}."]
    total = len(old.result["trials"])
    if not others:
        return [
            f"All {counted(total, 'trial')} have the same settings and values, and the same one is the best."
        ]
    best = [(one.result.get("best") or {}).get("params") for one in (old, new)]
    winner = "The best one has the same settings." if best[0] == best[1] else "Another one is the best."
    verb = "has" if len(others) == 1 else "have"
    shown = ", ".join(map(str, others[:10])) + (", ..." if len(others) > 10 else "")
    return [
        f"{counted(len(others), 'trial')} of {total} {verb} other settings or another value: {shown}. {winner}"
    ]


def _packages(text: str) -> dict[str, str]:
    pairs = (line.partition("==") for line in text.splitlines())
    return {name: version for name, sign, version in pairs if sign}


def _short(found: str | None) -> str | None:
    return found and found[:12]


def _trained_in(found: Mapping[str, Mapping[str, Path]], run_id: str) -> dict[tuple[str, ...], Path]:
    """Return the runs within a run that have no child runs themselves, such as the folds of a sweep's trials."""
    trained: dict[tuple[str, ...], Path] = {}
    for place, folder in found.get(run_id, {}).items():
        within = _trained_in(found, folder.parent.name)
        trained |= {(place, *inner): part for inner, part in within.items()} or {(place,): folder}
    return trained


def _weights(
    old: Ledger, new: Ledger
) -> tuple[Literal["equal", "differ", "unknown"], float | None, tuple[int, int]]:
    """Compare the weights of both runs and of their child runs; also return the numbers of compared and all models."""
    then, now = (_trained_in(families(ledger), ledger.run_id) for ledger in (old, new))
    pairs = [(Ledger.load(then[place]), Ledger.load(now[place])) for place in then if place in now]
    whole = [ledger.run_dir / _WEIGHTS for ledger in (old, new)]
    total = len(then.keys() | now.keys())
    # A cross-validation's own folder may have no weights.
    if not total or any(file.is_file() for file in whole):
        pairs, total = [(old, new), *pairs], total + 1
    largest, compared, same = 0.0, 0, True
    for a, b in pairs:
        files = [a.run_dir / _WEIGHTS, b.run_dir / _WEIGHTS]
        if not all(file.is_file() for file in files):
            continue
        for ledger in (a, b):
            check_recorded(ledger, MODEL_MANIFEST)
            check_model(ledger.run_dir / "model", _WEIGHTS.name)
        compared += 1
        x, y = map(load_file, files)
        if x.keys() != y.keys() or any(x[name].shape != y[name].shape for name in x):
            return "differ", math.inf, (compared, total)
        for name in x:
            same &= x[name].dtype == y[name].dtype
            same &= x[name].numpy(force=True).tobytes() == y[name].numpy(force=True).tobytes()
            if x[name].numel():
                gap = (x[name].double() - y[name].double()).abs().nan_to_num(nan=0.0).max()
                largest = max(largest, float(gap))
    if not compared:
        return "unknown", None, (0, total)
    return ("equal", 0.0, (compared, total)) if same else ("differ", largest, (compared, total))


def _differences(old: Ledger, new: Ledger) -> dict[str, tuple[float | None, float | None]]:
    names = dict.fromkeys([*old.result.get("metrics", ()), *new.result.get("metrics", ())])
    found = {}
    for name in names:
        then, now = old.metrics.get(name), new.metrics.get(name)
        same = then == now or (then is not None and now is not None and math.isnan(then) and math.isnan(now))
        if not same:
            found[name] = then, now
    return found


def _of_weights(weights: str, largest: float | None, of: tuple[int, int]) -> str:
    compared, total = of
    if weights == "unknown" or largest is None:
        return "The weights cannot be compared: a run has not kept them."
    what = "The weights" if total == 1 else f"The weights of {compared} of {total} runs"
    rest = "" if compared == total else "; those of the others cannot be compared"
    if weights == "equal":
        return f"{what} are equal bit for bit{rest}."
    if math.isinf(largest):
        return f"{'The weights' if total == 1 else 'The weights of a run'} differ in their shapes."
    return f"{what} differ, by at most {number(largest)}{rest}."


def _of_figures(differences: Mapping[str, tuple[float | None, float | None]], old: Ledger) -> str:
    total = len(old.result.get("metrics", ()))
    if not differences:
        return f"All {counted(total, 'figure')} are equal."
    shown = []
    for name, (then, now) in list(differences.items())[:5]:
        shown.append(
            f"{name} {'-' if then is None else number(then)}, now {'-' if now is None else number(now)}"
        )
    more = f", and {len(differences) - 5} more" if len(differences) > 5 else ""
    return f"{counted(len(differences), 'figure')} of {total} differ: {'; '.join(shown)}{more}."


def _explained(old: Ledger, new: Ledger, seeds: Sequence[Ledger]) -> tuple[bool | None, str]:
    """Return whether other seeds explain the difference of the main metric, and a sentence that says so.

    If only the seed differs, the difference of two runs has the variance 2 s^2, so |d| is below
    t(1 - alpha/2, n - 1) sqrt(2) s in 95 % of the cases (Student's t; s is the standard deviation over n seeds).
    """
    names = [name for name in old.result.get("metrics", ()) if name in new.metrics]
    choice = [name for name in names if not name.endswith("loss")] or names
    preferred = [name for name in choice if name.startswith(("test/", "cv/"))] or choice
    if not preferred:
        return None, ""
    name = preferred[0]
    values = [ledger.metrics[name] for ledger in seeds if name in ledger.metrics]
    gap = abs(old.metrics[name] - new.metrics[name])
    if not math.isfinite(gap):
        return None, f"Whether seeds explain {name} is unknown, since it is not a finite number in both runs."
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None, f"Whether seeds explain {name} is unknown: --seeds 5 measures their effect."
    s = float(np.std(values, ddof=1))
    bound = float(stats.t.ppf(1 - _ALPHA / 2, len(values) - 1)) * math.sqrt(2) * s
    within = gap <= bound
    how = "no more than" if within else "more than"
    return within, (
        f"{name} differs by {number(gap)}, {how} seeds explain: over {len(values)} seeds its standard deviation is "
        f"{number(s)}, so that two runs differ by up to {number(bound)} in 95 % of the cases."
    )
