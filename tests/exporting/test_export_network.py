"""An exported program equals the network, or does not exist."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.errors import DiskFull, DlcliError, InputError
from dlcli.exporting.exported_program import need_onnx, write_program
from dlcli.models.ft_transformer import FTTransformer
from dlcli.models.linear import Linear
from dlcli.models.mlp import MLP
from dlcli.models.recurrent import Recurrent
from dlcli.models.tabm import TabM
from dlcli.models.transformer import Transformer
from dlcli.training.fields import Batch
from dlcli.training.network import Network


def batches(**fields: Tensor) -> list[Batch]:
    """Return batches of the first 6, 2 and 1 rows; rows with lengths give batches of different lengths."""
    found = []
    for rows, steps in ((6, 7), (2, 4), (1, 3)):
        batch = {name: values[:rows] for name, values in fields.items()}
        cut = batch.keys() & {"x", "counts"} if "lengths" in fields else ()
        found.append(batch | {name: batch[name][:, :steps] for name in cut})
    return found


TABLE = batches(x=torch.randn(6, 3), x_cat=torch.randint(0, 4, (6, 2)))


class First(nn.Module):
    """A model of words by their first tokens; those without one are cut off."""

    def __init__(self, tokens: int, outputs: int) -> None:
        super().__init__()
        self.table = nn.Embedding(tokens, outputs)

    def forward(self, x: Tensor, firsts: Tensor) -> Tensor:
        places = firsts.clamp_min(0).unsqueeze(2).expand(-1, -1, self.table.embedding_dim)
        return self.table(x).gather(1, places).masked_fill((firsts < 0).unsqueeze(2), -torch.inf)


class Mean(nn.Module):
    """A model of texts that ignores their lengths."""

    def __init__(self, tokens: int, outputs: int) -> None:
        super().__init__()
        self.table = nn.Embedding(tokens, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.table(x).mean(dim=1)


QUANTILES = [[-1.0, 0.0, 0.5, 2.0], [], [0.0, 1.0, 3.0]]
LENGTHS = torch.tensor([3, 2, 7, 1, 6, 7])
TOKENS = batches(x=torch.randint(1, 20, (6, 7)), lengths=LENGTHS)
FIRSTS = torch.tensor([[0, 2], [1, -1], [0, 3], [0, -1], [2, 4], [1, 2]])
BAGS = batches(x=TOKENS[0]["x"], counts=torch.rand(6, 7) + 0.5, lengths=LENGTHS)


@pytest.mark.parametrize(
    ("model", "rows", "name"),
    [
        (MLP((3,), 2, cardinalities=[4, 5]), TABLE, "m.pt2"),
        pytest.param(MLP((3,), 2, cardinalities=[4, 5]), TABLE, "m.onnx", marks=pytest.mark.long),
        (MLP((3,), 2, [4, 5], quantiles=QUANTILES, numbers="periodic"), TABLE, "m.onnx"),
        (TabM((3,), 2, [4, 5], quantiles=QUANTILES, members=3, numbers="piecewise"), TABLE, "m.onnx"),
        (FTTransformer((3,), 2, [4, 5]), TABLE, "m.onnx"),
        (Recurrent((5, 3), 2), batches(x=torch.randn(6, 5, 3)), "m.pt2"),
        (Recurrent((0,), 4, 20, bidirectional=True, outputs_of="word"), TOKENS, "m.pt2"),
        (First(20, 4), batches(x=TOKENS[0]["x"], firsts=FIRSTS, lengths=LENGTHS), "m.onnx"),
        (Mean(20, 2), TOKENS, "m.pt2"),
        (Transformer((0,), 2, vocab_size=20, layers=1), TOKENS, "m.pt2"),
        (MLP((0,), 2, vocab_size=20), BAGS, "m.pt2"),
        (Linear((0,), 2, vocab_size=20), BAGS, "m.onnx"),
    ],
    ids=[
        "table, torch",
        "table, ONNX",
        "periodic numbers",
        "ensemble",
        "transformer of a table",
        "sequence",
        "words, both directions",
        "first tokens of words",
        "tokens without lengths",
        "tokens",
        "bags of tokens",
        "bags of n-grams",
    ],
)
def test_a_program_takes_any_number_of_rows_by_name(model: nn.Module, rows: list[Batch], name: str) -> None:
    network = Network(model).eval()
    if "counts" in rows[0]:  # a bag has no lengths
        rows = [network.taken(batch) for batch in rows]
    assert write_program(network, rows, Path(name)) < 1e-5
    if name == "m.pt2":
        found = torch.export.load(name).module()(**network.taken(rows[1]))
        torch.testing.assert_close(found, network(rows[1]))
    assert [file.name for file in Path().iterdir()] == [name]


def test_weights_next_to_a_large_graph_are_found_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX limits a file to 2 GB, so torch writes larger weights to a separate file."""
    monkeypatch.setattr("torch.onnx._internal.exporter._onnx_program._LARGE_MODEL_THRESHOLD", 0)
    rows, network = batches(x=torch.randn(6, 300)), Network(MLP((300,), 2))
    expected = network.eval()(rows[0])
    write_program(network, rows, Path("m.onnx"), lambda *told: str(told))
    assert sorted(file.name for file in Path().iterdir()) == ["m.onnx", "m.onnx.data", "m.onnx.json"]
    found = onnxruntime.InferenceSession("m.onnx").run(None, {"x": rows[0]["x"].numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=1e-3)


def test_without_its_description_there_is_no_program() -> None:
    def full(difference: float, shape: tuple[int, ...]) -> str:
        raise OSError(28, "No space left on device")

    with pytest.raises(DiskFull, match=r"m\.pt2: no space left"):
        write_program(Network(MLP((3,), 2)), batches(x=torch.randn(6, 3)), Path("m.pt2"), full)
    assert list(Path().iterdir()) == []


def test_a_disk_that_is_full_ends_in_an_error() -> None:
    """Torch's own writer of files would end the process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(DlcliError, match=r"m\.pt2"):
            write_program(Network(MLP((3,), 2)), batches(x=torch.randn(6, 3)), Path("m.pt2"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(Path().iterdir()) == []


class Unrolled(nn.Module):
    """A model whose operations depend on the number of steps."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return torch.stack([step.mean(dim=1) + lengths for step in x.unbind(dim=1)]).sum(dim=0).unsqueeze(1)


class Odd(nn.Module):
    """A model that computes other outputs for a single row."""

    def forward(self, x: Tensor) -> Tensor:
        return x + (1 if torch.compiler.is_exporting() else 0)


@pytest.mark.parametrize(
    ("model", "rows", "told"),
    [
        (Unrolled(), batches(x=torch.randn(6, 7, 3), lengths=LENGTHS), "Unrolled cannot be exported"),
        (
            Odd(),
            batches(x=torch.randn(6, 3)),
            "the outputs of the exported program differ from the model's; the file was deleted",
        ),
    ],
    ids=["unrolled", "other outputs"],
)
def test_a_failed_export_leaves_no_file(model: nn.Module, rows: list[Batch], told: str) -> None:
    Path("m.pt2").write_text("as it was")
    with pytest.raises(DlcliError, match=told):
        write_program(Network(model), rows, Path("m.pt2"))
    assert [(file.name, file.read_text()) for file in Path().iterdir()] == [("m.pt2", "as it was")]


def test_a_run_is_exported_with_its_description() -> None:
    dlcli.train(["dataset=iris", "model=mlp", "model.hidden=4", "trainer.max_epochs=1", "run_name=flowers"])
    done = CliRunner().invoke(app, ["export", "flowers", "--to", "torch"])
    assert done.exit_code == 0, done.output
    written = "Written: flowers.pt2, described in flowers.pt2.json\nOn 20 rows its outputs differ"
    assert done.stdout.startswith(written)
    described = json.loads(Path("flowers.pt2.json").read_text())
    meaning = "outputs of the preprocessing, see there"
    x = {"name": "x", "dtype": "float32", "shape": ["rows", 4], "meaning": meaning}
    assert described["inputs"] == [x]
    (outputs,) = described["outputs"]
    assert (outputs["shape"], outputs["meaning"][:17]) == (["rows", 3], "logits of classes")
    assert described["task"]["classes"] == ["setosa", "versicolor", "virginica"]
    assert CliRunner().invoke(app, ["export", "flowers", "-o", "flowers.pt2"]).exit_code == 0  # again
    Path("f.pt2.json").write_text('{"mine": 1}')
    Path("f.pt2").write_text("as it was")
    done = CliRunner().invoke(app, ["export", "flowers", "--output", "f.pt2"])
    assert (
        done.exit_code,
        "f.pt2.json\n  would be overwritten by the program's description" in done.stderr,
    ) == (2, True)
    assert (Path("f.pt2").read_text(), Path("f.pt2.json").read_text()) == ("as it was", '{"mine": 1}')
    for words, told in ((["f.bin"], "has an unknown extension"), (["no/f.pt2"], "there is no such folder")):
        done = CliRunner().invoke(app, ["export", "flowers", "--output", *words])
        assert (done.exit_code, told in done.stderr) == (2, True)


def test_the_requirements_of_onnx_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"ONNX needs onnxscript\n.*pip install onnxscript"):
        need_onnx()
