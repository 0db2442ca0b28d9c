"""`make bench`: every measurement in turn; `make bench ARGS=job_cost` runs one, `ARGS="slots 4"` a part of one.

`make bench ARGS=--check` compares with `bench/budget.toml` what takes minutes, and ends with 1 if something is slower;
`ARGS="--check decode"` compares some rows of `bench peers`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys

import bench
from bench import peers
from dlcli.errors import Interrupted
from dlcli.process.quiet import quiet

CHECK = "--check"


def main() -> None:
    if CHECK in sys.argv[1:]:
        sys.exit(peers.check(*(word for word in sys.argv[1:] if word != CHECK)))
    names = [
        module.name for module in pkgutil.iter_modules(bench.__path__) if not module.name.startswith("_")
    ]
    wanted: dict[str, list[str]] = {}
    for word in sys.argv[1:]:
        if word in names:
            wanted[word] = []
        elif wanted:
            wanted[list(wanted)[-1]].append(word)
        else:
            sys.exit(f"there is no measurement {word}: {', '.join(names)}")
    for name, words in (wanted or {name: [] for name in names}).items():
        measurement = importlib.import_module(f"bench.{name}")
        if words and not inspect.signature(measurement.main).parameters:
            sys.exit(f"{name} takes no further words: {' '.join(words)}")
        print(f"\n== {name}: {str(measurement.__doc__).splitlines()[0]}", flush=True)
        measurement.main(*words)


try:
    with quiet():
        main()
except (KeyboardInterrupt, Interrupted):
    print("\nstopped by Ctrl-C", file=sys.stderr)
    sys.exit(130)
