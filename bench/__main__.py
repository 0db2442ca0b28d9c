"""`make bench`: every measurement, one after the other; `make bench ARGS=mnist_mlp` runs one."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import bench


def main() -> None:
    wanted = sys.argv[1:]
    for module in pkgutil.iter_modules(bench.__path__):
        if module.name.startswith("_") or (wanted and module.name not in wanted):
            continue
        measurement = importlib.import_module(f"bench.{module.name}")
        print(f"\n== {module.name}: {measurement.__doc__.splitlines()[0]}", flush=True)
        measurement.main()


main()
