"""GPT, and recurrent networks as language models."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dlcli.errors import ConfigError
from dlcli.models.gpt import GPT
from dlcli.models.recurrent import Recurrent


def gpt(**settings: Any) -> GPT:
    torch.manual_seed(0)
    return GPT(**{"vocab_size": 11, "context": 8, "hidden": 16, "layers": 2, "heads": 2, **settings}).eval()


def recurrent(**settings: Any) -> Recurrent:
    torch.manual_seed(0)
    given = {
        "input_shape": (8,),
        "num_outputs": 3,
        "vocab_size": 11,
        "hidden": 12,
        "outputs_of": "next_token",
    }
    return Recurrent(**{**given, **settings}).eval()


def models() -> list[Any]:
    return [gpt(), gpt(bias=True), recurrent(), recurrent(cell="gru", layers=2), recurrent(cell="rnn")]


@pytest.mark.parametrize("number", range(5))
def test_an_output_does_not_depend_on_later_tokens(number: int) -> None:
    model = models()[number]
    x = torch.randint(11, (3, 8), generator=torch.Generator().manual_seed(1))
    other = x.clone()
    other[:, 5:] = 0
    found, again = model(x), model(other)
    assert found.shape == (3, 8, 11)
    torch.testing.assert_close(found[:, :5], again[:, :5])
    assert not torch.allclose(found[:, 5:], again[:, 5:])


@pytest.mark.parametrize("number", range(5))
def test_continued_outputs_are_those_of_the_whole_text(number: int) -> None:
    model = models()[number]
    x = torch.randint(11, (2, 8), generator=torch.Generator().manual_seed(1))
    whole = model(x)
    logits, state = model.continued(x[:, :3], None)
    torch.testing.assert_close(logits, whole[:, 2])
    logits, state = model.continued(x[:, 3:4], state)
    torch.testing.assert_close(logits, whole[:, 3])
    logits, state = model.continued(x[:, 4:], state)
    torch.testing.assert_close(logits, whole[:, 7])


def test_longer_rows_are_read_in_pieces() -> None:
    model, x = gpt(), torch.arange(20).remainder(11).unsqueeze(0)
    torch.testing.assert_close(model(x)[:, 8:16], model(x[:, 8:16]))


def test_it_has_the_parameters_of_nano_gpt_and_the_weights_that_are_asked_for() -> None:
    model = GPT(65, 64, 128, 4, 4, initial_std=0.05)
    layer = 2 * 128 + 128 * (3 * 128 + 128 + 8 * 128)
    assert sum(p.numel() for p in model.parameters()) == (65 + 64) * 128 + 4 * layer + 128
    deviations = {name: float(p.detach().std()) for name, p in model.named_parameters() if p.ndim == 2}
    for name, deviation in deviations.items():
        expected = 0.05 if name.startswith("layers") else 0.02
        expected /= 8**0.5 if "project" in name else 1
        assert deviation == pytest.approx(expected, rel=0.05), name


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="reads backwards"):
        recurrent(bidirectional=True)
    with pytest.raises(ValueError, match="divisible by heads"):
        gpt(heads=3)
