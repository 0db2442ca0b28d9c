"""Models: output shapes, a gradient for every parameter, and that each can overfit a few rows."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dlcli.models.cnn import CNN
from dlcli.models.ft_transformer import FTTransformer
from dlcli.models.layers import SequencePooling, initialize, normalization
from dlcli.models.linear import Linear
from dlcli.models.mlp import MLP
from dlcli.models.recurrent import Recurrent
from dlcli.models.resnet import ResNet
from dlcli.models.table_resnet import TableResNet
from dlcli.models.tcn import TCN
from dlcli.models.textcnn import TextCNN
from dlcli.models.transformer import Transformer
from dlcli.models.vgg import VGG
from dlcli.training.network import Network

IMAGE, TABLE, SEQUENCE = (1, 8, 8), (5,), (7, 3)

MODELS = {
    "mlp on a table": (MLP, TABLE, {}),
    "mlp on images": (MLP, IMAGE, {"hidden": [32, 16], "activation": "gelu", "dropout": 0.1}),
    "mlp on sequences": (MLP, SEQUENCE, {"hidden": 16, "layers": 3}),
    "cnn": (CNN, IMAGE, {}),
    "cnn in colour": (CNN, (3, 9, 6), {"channels": [4, 8], "kernel_size": 5, "hidden": 0, "dropout": 0.0}),
    "cnn that pools nothing": (CNN, IMAGE, {"channels": [4], "pool": 1}),
    "cnn with strides and global pooling": (
        CNN,
        (3, 16, 12),
        {
            "channels": [8, 16],
            "kernel_size": [4, 3],
            "stride": [2, 1],
            "pool": [1, 2],
            "pooling": "average",
            "global_pooling": True,
            "normalization": "batch",
            "dropout": 0.0,
            "head_dropout": 0.2,
            "initialization": "he",
            "channels_last": True,
        },
    ),
    "cnn without borders": (CNN, IMAGE, {"channels": [8], "padding": "valid", "normalization": "group"}),
    "linear on a table": (Linear, (9,), {}),
    "linear on images": (Linear, IMAGE, {}),
    "residual mlp": (
        MLP,
        TABLE,
        {"hidden": 16, "layers": 3, "residual": True, "normalization": "batch", "initialization": "xavier"},
    ),
    "mlp with layer normalization": (
        MLP,
        TABLE,
        {"normalization": "layer", "activation": "tanh", "initialization": "orthogonal"},
    ),
    "mlp with group normalization": (MLP, TABLE, {"normalization": "group", "activation": "elu"}),
    "mlp with embedded numbers": (
        MLP,
        TABLE,
        {"hidden": 16, "numbers": "periodic", "quantiles": [[-1.0, 0.0, 1.0], [], [], [], []]},
    ),
    "resnet of a table": (TableResNet, TABLE, {"hidden": 16, "dropout": 0.0}),
    "transformer of a table": (FTTransformer, TABLE, {"hidden": 16, "heads": 2, "dropout": 0.0}),
    "resnet": (ResNet, (3, 9, 7), {"channels": [8, 16], "channels_last": True}),
    "resnet with two blocks a stage": (
        ResNet,
        IMAGE,
        {"channels": [8], "blocks": 2, "normalization": "layer", "dropout": 0.1},
    ),
    "vgg": (VGG, (3, 17, 12), {"channels": [8, 16]}),
    "vgg of images of a few pixels": (
        VGG,
        (1, 3, 5),
        {"stem": 0, "channels": [4, 8, 16], "convolutions": 1, "normalization": "none", "dropout": 0.1},
    ),
    "rnn": (Recurrent, SEQUENCE, {"cell": "rnn", "hidden": 32}),
    "gru": (Recurrent, SEQUENCE, {"cell": "gru", "hidden": 32, "pooling": "attention"}),
    "lstm": (Recurrent, SEQUENCE, {"cell": "lstm", "initialization": "orthogonal"}),
    "lstm on rows of images": (
        Recurrent,
        (3, 8, 8),
        {"hidden": 16, "layers": 2, "bidirectional": True, "dropout": 0.2},
    ),
    "bidirectional gru over all states": (
        Recurrent,
        SEQUENCE,
        {"cell": "gru", "hidden": 16, "bidirectional": True, "pooling": "mean"},
    ),
    "transformer": (Transformer, SEQUENCE, {"hidden": 32, "feedforward": 32}),
    "transformer on rows of images": (
        Transformer,
        IMAGE,
        {"hidden": 15, "heads": 3, "layers": 1, "pooling": "max", "dropout": 0.0, "initialization": "xavier"},
    ),
    "textcnn on sequences": (TextCNN, SEQUENCE, {"channels": 8, "dropout": 0.0}),
    "tcn": (TCN, SEQUENCE, {"channels": [16, 16]}),
    "tcn with batch normalization": (
        TCN,
        SEQUENCE,
        {"channels": [8, 16], "kernel_size": 2, "normalization": "batch", "pooling": "mean"},
    ),
}

VOCABULARY = 12

TOKEN_MODELS = {
    "linear": (Linear, {}),
    "mlp": (MLP, {"embedding": 16, "hidden": 16}),
    "rnn": (Recurrent, {"cell": "rnn", "hidden": 16}),
    "lstm over all states": (Recurrent, {"hidden": 16, "pooling": "max"}),
    "bidirectional gru": (Recurrent, {"cell": "gru", "hidden": 16, "bidirectional": True, "layers": 2}),
    "bidirectional lstm over all states": (
        Recurrent,
        {"hidden": 16, "bidirectional": True, "pooling": "mean"},
    ),
    "tcn": (TCN, {"channels": [16, 16], "dropout": 0.0}),
    "textcnn": (TextCNN, {"embedding": 16, "channels": 8, "dropout": 0.0}),
    "textcnn with even kernels": (TextCNN, {"channels": 8, "kernel_sizes": [2, 4], "dropout": 0.0}),
    "transformer": (Transformer, {"hidden": 16, "feedforward": 16, "dropout": 0.0}),
    "transformer with attention at its end": (
        Transformer,
        {"hidden": 16, "layers": 1, "pooling": "attention", "dropout": 0.0},
    ),
}


@pytest.fixture(params=MODELS, ids=str)
def made(request: pytest.FixtureRequest) -> tuple[nn.Module, tuple[int, ...]]:
    model, shape, arguments = MODELS[request.param]
    torch.manual_seed(0)
    return model(input_shape=shape, num_outputs=4, **arguments), shape


def test_outputs_have_one_row_each(made) -> None:
    model, shape = made
    model.eval()  # batch normalization is undefined for a batch of one row
    for rows in (1, 6):
        assert model(torch.randn(rows, *shape)).shape == (rows, 4)


def test_every_parameter_has_a_gradient(made) -> None:
    model, shape = made
    (model(torch.randn(6, *shape)) - 1).square().sum().backward()  # the linear model begins with zeros
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_it_overfits_a_few_rows(made) -> None:
    model, shape = made
    x, y = torch.randn(8, *shape), torch.arange(8) % 4
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert (model.eval()(x).argmax(dim=1) == y).all()


@pytest.mark.parametrize("model", [Linear, MLP, TableResNet, FTTransformer])
def test_categories_have_embeddings_and_unseen_ones_have_zero(model: type[nn.Module]) -> None:
    torch.manual_seed(0)
    made = model((2,), 3, cardinalities=[4, 9])
    x, codes = torch.randn(5, 2), torch.tensor([[1, 8], [2, 8], [3, 1], [0, 0], [0, 0]])
    outputs = made(x, codes)
    assert outputs.shape == (5, 3)
    (outputs - 1).square().sum().backward()
    columns = [layer for layer in made.modules() if isinstance(layer, nn.Embedding)]
    for column, seen in zip(columns, ([1, 2, 3], [1, 8]), strict=True):
        rows = column.weight.grad.abs().sum(dim=1)
        assert rows.nonzero().flatten().tolist() == seen
        assert not column.weight[0].any()


def test_impossible_models_are_reported() -> None:
    with pytest.raises(ValueError, match="an image of 8 x 8 pixels is too small for block 4 of 4"):
        CNN(IMAGE, 10, channels=[8, 8, 8, 8])
    with pytest.raises(ValueError, match="stride has 3 numbers for 2 layers"):
        CNN(IMAGE, 10, channels=[8, 8], stride=[1, 1, 2])
    with pytest.raises(ValueError, match=r"hidden \(10\) must be divisible by heads \(4\)"):
        Transformer(SEQUENCE, 2, hidden=10, heads=4)
    with pytest.raises(ValueError, match=r"hidden \(10\) must be divisible by heads \(4\)"):
        FTTransformer(TABLE, 2, hidden=10, heads=4)
    with pytest.raises(
        ValueError,
        match=r"residual needs two consecutive hidden layers of equal size, but the sizes are \[8, 4\]",
    ):
        MLP(TABLE, 2, hidden=[8, 4], residual=True)


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4])
@pytest.mark.parametrize(("padding", "stride"), [("same", 1), ("same", 2), ("valid", 1), (2, 3)])
def test_computed_sizes_equal_those_of_torch(kernel_size: int, padding: str | int, stride: int) -> None:
    model = CNN(
        (1, 11, 8), 3, channels=[2, 2], kernel_size=kernel_size, padding=padding, stride=stride, pool=1
    )
    assert model(torch.randn(2, 1, 11, 8)).shape == (2, 3)
    if padding == "same":
        assert model.features[:-1](torch.randn(2, 1, 12, 8)).shape[2:] == (12 // stride**2, 8 // stride**2)


@pytest.mark.parametrize("kind", ["he", "xavier", "orthogonal"])
@pytest.mark.parametrize("model", [MLP, Recurrent, Transformer])
def test_initialization_draws_weights_and_sets_biases_to_zero(kind: str, model: type[nn.Module]) -> None:
    shape = TABLE if model is MLP else SEQUENCE
    torch.manual_seed(0)
    one, other = model(shape, 2), model(shape, 2)
    initialize(other, kind)  # type: ignore[arg-type]
    for (name, before), after in zip(one.named_parameters(), other.parameters(), strict=True):
        if "norm" in name:
            assert torch.equal(before, after), name
        elif "bias" in name:
            assert not after.any(), name
        else:
            assert not torch.equal(before, after), name


def test_he_keeps_the_variance_through_relu_layers() -> None:
    torch.manual_seed(0)
    model = MLP((256,), 256, hidden=256, layers=10, initialization="he")
    assert 0.2 < model(torch.randn(512, 256)).std() < 5


@pytest.mark.parametrize("kind", ["layer", "group"])
@pytest.mark.parametrize(("channels", "dimensions"), [(5, 0), (8, 0), (64, 0), (4, 1), (12, 2)])
def test_row_normalization_is_not_applied_to_single_values(kind, channels: int, dimensions: int) -> None:
    """A group of one value would always become 0."""
    (norm,) = normalization(kind, channels, dimensions)
    x = torch.randn(3, channels, *[6] * dimensions)
    assert norm(x).abs().min() > 0


def test_attention_weighs_steps() -> None:
    pool = SequencePooling("attention", 2)
    with torch.no_grad():
        pool.score.weight.copy_(torch.tensor([[100.0, 0.0]]))
    states = torch.tensor([[[1.0, 5.0], [2.0, 7.0], [0.0, 9.0]]])
    assert pool(states).tolist() == [[2.0, 7.0]]


def test_no_step_of_a_tcn_depends_on_a_later_one() -> None:
    torch.manual_seed(0)
    blocks = TCN((9, 2), 1, channels=[4, 4, 4], dropout=0.0).blocks
    x = torch.randn(1, 2, 9)
    changed = x.clone()
    changed[:, :, 6:] += 1
    before, after = blocks(x), blocks(changed)
    change = (after - before).abs().amax(dim=(0, 1))
    assert change[:6].max() < 1e-5 < 1e-3 < change[6:].min()


@pytest.fixture(params=TOKEN_MODELS, ids=str)
def reads_tokens(request: pytest.FixtureRequest) -> nn.Module:
    model, arguments = TOKEN_MODELS[request.param]
    torch.manual_seed(0)
    return model(input_shape=(0,), num_outputs=3, vocab_size=VOCABULARY, **arguments)


def texts(rows: int = 9) -> dict[str, torch.Tensor]:
    """Return rows of tokens of several lengths, the first with one token; no two begin with the same token."""
    lengths = torch.arange(rows) % 5 + 1
    x = torch.randint(1, VOCABULARY, (rows, 5))
    x[:, 0] = torch.arange(rows) + 1
    x *= torch.arange(5) < lengths.unsqueeze(1)
    return {"x": x, "lengths": lengths}


def outputs(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return Network(model)(batch)


def test_padding_does_not_change_the_outputs(reads_tokens: nn.Module) -> None:
    batch = texts()
    padded = {**batch, "x": nn.functional.pad(batch["x"], (0, 4))}
    reads_tokens.eval()
    with torch.no_grad():
        expected = outputs(reads_tokens, batch)
        assert expected.shape == (9, 3)
        # Not bit-identical, because sums over other numbers of steps are rounded differently in each layer.
        assert torch.allclose(outputs(reads_tokens, padded), expected, atol=1e-5)
        for row, length in enumerate(batch["lengths"].tolist()):
            alone = {"x": batch["x"][row : row + 1, :length], "lengths": batch["lengths"][row : row + 1]}
            assert torch.allclose(outputs(reads_tokens, alone)[0], expected[row], atol=1e-5)


def test_it_overfits_a_few_texts(reads_tokens: nn.Module) -> None:
    batch, y = texts(), torch.arange(9) % 3
    optimizer = torch.optim.Adam(reads_tokens.parameters(), lr=0.03)
    for step in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(outputs(reads_tokens, batch), y).backward()
        if step == 0:
            assert all(parameter.grad is not None for parameter in reads_tokens.parameters())
        optimizer.step()
    assert (outputs(reads_tokens.eval(), batch).argmax(dim=1) == y).all()


@pytest.mark.parametrize("kind", ["last", "mean", "max", "attention"])
def test_pooling_ignores_the_padding(kind) -> None:
    torch.manual_seed(0)
    pool, states = SequencePooling(kind, 4), torch.randn(3, 6, 4)
    lengths = torch.tensor([6, 1, 4])
    pooled = pool(states, lengths)
    for row, length in enumerate(lengths.tolist()):
        assert torch.allclose(pooled[row], pool(states[row : row + 1, :length])[0], atol=1e-6)
