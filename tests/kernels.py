"""The quick tests with each kernel in turn: `python -m tests.kernels [pytest's arguments]`, `make test-kernels`.

A processor's instructions decide which of their routines torch, oneDNN, MKL and OpenBLAS take, and so how they round.
Each kernel first computes what training computes: a kernel that this processor does not support is skipped, and so is
one that gives the very bits of another. `--only NAME` picks one, `--list` only prints which would run.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
_THREADS = "OMP_NUM_THREADS"
_OLDEST = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Nehalem",
}
# As dlcli's commands have it: else tests side by side would spin while they wait for their threads.
_TWO_THREADS = {_THREADS: "2", "GOMP_SPINCOUNT": "2000"}
# From the fastest to the oldest; what is not named is as the processor would have it.
KERNELS: dict[str, Mapping[str, str]] = {
    "this processor's": {},
    "two threads": _TWO_THREADS,
    "ATen AVX-512": {"ATEN_CPU_CAPABILITY": "avx512"},
    "ATen AVX2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "ATen without vectors": {"ATEN_CPU_CAPABILITY": "default"},
    "oneDNN AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "oneDNN SSE4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "MKL AVX2": {"MKL_CBWR": "AVX2"},
    "MKL compatible": {"MKL_CBWR": "COMPATIBLE"},
    "OpenBLAS AVX-512": {"OPENBLAS_CORETYPE": "SkylakeX"},
    "oldest": _OLDEST,
    "oldest, two threads": {**_OLDEST, **_TWO_THREADS},
    "rounding 1": {"DLCLI_TEST_ROUNDING": "1"},
    "rounding 2": {"DLCLI_TEST_ROUNDING": "2"},
}


def environment(kernel: str) -> dict[str, str]:
    """Of a process that computes so, and of its children."""
    paths = [str(ROOT / "tests" / "rounding"), *filter(None, [os.environ.get("PYTHONPATH")])]
    unset = {
        name: value for name, value in os.environ.items() if not any(name in k for k in KERNELS.values())
    }
    return {**unset, _THREADS: "1", "PYTHONPATH": os.pathsep.join(paths), **KERNELS[kernel]}


def probe() -> str:
    """What this process computes with, and a digest of what comes out."""
    import numpy as np
    import torch
    from torch import nn

    torch.manual_seed(0)
    images, steps, labels = torch.randn(64, 1, 16, 16), torch.randn(8, 30, 10), torch.arange(64) % 3
    dense = [nn.Flatten(), nn.Linear(256, 50), nn.LayerNorm(50), nn.GELU(), nn.Linear(50, 3)]
    conv = [nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 14 * 14, 3)]
    found = [nn.LSTM(10, 20, batch_first=True)(steps)[0], images.flatten(1).softmax(1).sum(0)]
    for layers in (dense, conv):
        model = nn.Sequential(*layers)
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
        found += model.parameters()
    arrays = [tensor.detach().numpy() for tensor in found]
    random = np.random.default_rng(0)
    arrays.append(random.normal(size=(64, 300)) @ random.normal(size=(300, 50)))
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:12]
    return f"{digest} ATen {torch.backends.cpu.get_cpu_capability()}, threads {torch.get_num_threads()}"


def differing(kernels: Sequence[str]) -> dict[str, str]:
    """The kernels that this processor has, and that differ in bits, with what torch says of each; tells of the rest."""
    seen: dict[str, str] = {}
    found = {}
    for kernel in kernels:
        command = [sys.executable, "-m", "tests.kernels", "--probe"]
        done = subprocess.run(command, env=environment(kernel), cwd=ROOT, capture_output=True, text=True)
        if done.returncode == -signal.SIGILL:
            print(f"{kernel}: skipped, this processor lacks its instructions")
            continue
        if done.returncode:
            sys.exit(f"{kernel}: {done.stderr or f'ended with {done.returncode}'}")
        digest, _, words = done.stdout.strip().partition(" ")
        if digest in seen:
            print(f"{kernel}: skipped, the same bits as {seen[digest]}")
            continue
        seen[digest] = kernel
        found[kernel] = words
        print(f"{kernel}: bits {digest} ({words})", flush=True)
    return found


def run_tests(kernel: str, arguments: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """How many tests passed, failed and were skipped, and which failed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-m", "not slow", "-p", "no:cacheprovider"]
        command += ["-o", "junit_family=xunit1", f"--junitxml={report}", *arguments]
        done = subprocess.run(command, env=environment(kernel), cwd=ROOT)
        if not report.exists():
            sys.exit(f"{kernel}: pytest ended with {done.returncode}, and without a report")
        cases = list(ET.parse(report).iter("testcase"))
    failed = [f"{case.get('file')}::{case.get('name')}" for case in cases if _has(case, "failure", "error")]
    skipped = sum(_has(case, "skipped") for case in cases)
    return {"passed": len(cases) - len(failed) - skipped, "failed": len(failed), "skipped": skipped}, failed


def _has(case: ET.Element, *kinds: str) -> bool:
    return any(case.find(kind) is not None for kind in kinds)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kernels", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=KERNELS, help="a kernel; several times for several"
    )
    parser.add_argument("--list", action="store_true", help="only tell which would run")
    parser.add_argument("--probe", action="store_true", help=argparse.SUPPRESS)
    options, arguments = parser.parse_known_args()
    if options.probe:
        print(probe())
        return 0
    kernels = differing(options.only or list(KERNELS))
    if options.list:
        return 0
    lines, failures = [], {}
    for kernel in kernels:
        print(f"\n=== {kernel} ===", flush=True)
        start = time.monotonic()
        counts, failures[kernel] = run_tests(kernel, arguments)
        minutes = (time.monotonic() - start) / 60
        lines.append(f"{kernel:22}" + "".join(f"{n:>9}" for n in counts.values()) + f"{minutes:>9.1f}")
    print(f"\n{'kernel':22}   passed   failed  skipped  minutes", *lines, sep="\n")
    for kernel, tests in failures.items():
        for test in tests:
            print(f"failed with {kernel}: {test}")
    return int(any(failures.values()))


if __name__ == "__main__":
    sys.exit(main())
