from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import nn

from dlcli.augmentation.image import mixup
from tests.training.fitting import SeesEveryStep, data, figures, train


def test_single_steps_and_chunks_give_the_same_bits(tmp_path: Path) -> None:
    given = {"augment": partial(mixup, alpha=0.4)}
    chunked, fast = train(tmp_path / "a", options=given)
    stepped, slow = train(tmp_path / "b", options=given, callbacks=[SeesEveryStep()])
    for one, other in zip(chunked.parameters(), stepped.parameters(), strict=True):
        assert torch.equal(one, other)
    assert figures(fast) == figures(slow)


def test_only_training_rows_are_changed(tmp_path: Path) -> None:
    seen = []

    def note(batch):
        seen.append(len(batch["x"]))
        return batch

    plain, _ = train(tmp_path / "a")
    noted, _ = train(tmp_path / "b", options={"augment": note})
    assert seen == [8] * 75
    assert all(
        torch.equal(one, other) for one, other in zip(plain.parameters(), noted.parameters(), strict=True)
    )


def test_both_targets_of_a_mixture_count_by_their_shares(tmp_path: Path) -> None:
    def mix_in_the_opposite(batch):
        return {**batch, "y_mixed": 1 - batch["y"], "share": torch.tensor(0.25)}

    network, _ = train(tmp_path, epochs=10, options={"augment": mix_in_the_opposite})
    val = data(50, seed=1)
    probabilities = network.eval()(val).softmax(dim=1)
    right = probabilities.gather(1, val["y"][:, None]).mean().item()
    # The loss is least where the outputs say 3 to 1.
    assert 0.65 < right < 0.8
    assert nn.functional.cross_entropy(network(val), val["y"]) < 0.5
