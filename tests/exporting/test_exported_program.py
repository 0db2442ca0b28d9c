"""A program of ExecuTorch takes one row at a time, and equals the network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dlcli.errors import DlcliError, InputError
from dlcli.exporting.exported_program import need_packages, write_program
from dlcli.models.cnn import CNN
from dlcli.models.mlp import MLP
from dlcli.models.transformer import Transformer
from dlcli.training.network import Network


def test_a_missing_package_is_reported_with_the_command_that_installs_it() -> None:
    with pytest.raises(
        InputError, match="ExecuTorch needs no_such_package\n  Install it: pip install no_such"
    ):
        need_packages("ExecuTorch", ["no_such_package"], "--output")


@pytest.mark.parametrize("kind", ["table", "image"])
def test_a_program_for_phones_equals_the_network(kind: str) -> None:
    pytest.importorskip("executorch", reason="needs the package executorch")
    if kind == "table":
        network = Network(MLP((3,), 2, cardinalities=[4, 5]))
        rows = {"x": torch.randn(5, 3), "x_cat": torch.randint(0, 4, (5, 2))}
    else:
        network, rows = (
            Network(CNN((1, 8, 8), 3, channels=[4])),
            {"x": torch.randn(5, 8, 8).as_strided((5, 1, 8, 8), (64, 0, 8, 1))},
        )
    assert write_program(network, [rows], Path("m.pte")) < 1e-4
    assert [file.name for file in Path().iterdir()] == ["m.pte"]


def test_rows_of_different_lengths_are_refused() -> None:
    pytest.importorskip("executorch", reason="needs the package executorch")
    rows = {"x": torch.randint(1, 20, (4, 7)), "lengths": torch.tensor([3, 2, 7, 1])}
    with pytest.raises(DlcliError, match="ExecuTorch needs rows of equal length"):
        write_program(Network(Transformer((0,), 2, vocab_size=20, layers=1)), [rows], Path("m.pte"))
