"""Metrics of generated images against their definitions, the portable judge, and noise from fixed numbers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from dlcli.tasks.generate import Generate, drawn_noise
from dlcli.tasks.judge import FEATURES, Judge, judge_of, reference_of
from dlcli.tasks.sample_metrics import HEADER, SampleFigure, SampleMetric


def kept(rows: int = 60, width: int = 4, seed: int = 0) -> Tensor:
    random = np.random.default_rng(seed)
    asked = np.arange(rows) % 3
    seen = np.where(random.random(rows) < 0.7, asked, (asked + 1) % 3)
    made = random.normal(0.3, 1.2, (rows, width)) @ random.normal(size=(width, width))
    real = random.normal(size=(rows, width)) + asked[:, None]
    return torch.from_numpy(np.column_stack([np.ones(rows), asked, seen, made, real])).float()


def value(kind: SampleFigure, rows: Tensor) -> float:
    metric = SampleMetric(kind, 3)
    for some in rows.split(17):
        metric.update(some, some[:, 1].long())
    return float(metric.compute())


def test_the_frechet_distance_is_that_of_two_normal_distributions() -> None:
    rows = kept()
    made, real = rows[:, HEADER:].double().numpy().reshape(-1, 2, 4).transpose(1, 0, 2)
    a, b = np.cov(made.T), np.cov(real.T)
    shift = ((made.mean(axis=0) - real.mean(axis=0)) ** 2).sum()
    wanted = shift + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    assert value("frechet", rows) == pytest.approx(wanted, rel=1e-8)
    same = torch.cat([rows[:, : HEADER + 4], rows[:, HEADER : HEADER + 4]], dim=1)
    assert value("frechet", same) == pytest.approx(0, abs=1e-6)


def test_the_kernel_distance_is_the_unbiased_mean_over_all_pairs() -> None:
    rows = kept()
    made, real = rows[:, HEADER:].double().numpy().reshape(-1, 2, 4).transpose(1, 0, 2)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / 4 + 1) ** 3

    n = len(rows)
    pairs = n * (n - 1)
    own = sum((kernel(x, x).sum() - np.trace(kernel(x, x))) / pairs for x in (made, real))
    assert value("kernel_distance", rows) == pytest.approx(own - 2 * kernel(made, real).mean(), rel=1e-9)


def test_recognised_share_modes_and_diversity_by_hand() -> None:
    rows = kept()
    assert value("recognized", rows) == pytest.approx(float((rows[:, 1] == rows[:, 2]).float().mean()))
    collapsed = rows.clone()
    collapsed[:, 2] = 0
    assert (value("modes", rows), value("modes", collapsed)) == (3.0, 1.0)
    ratios = []
    for code in range(3):
        made, real = rows[rows[:, 1] == code][:, HEADER:].double().reshape(-1, 2, 4).unbind(dim=1)
        ratios.append(float(made.var(dim=0).sum() / real.var(dim=0).sum()))
    assert value("diversity", rows) == pytest.approx(np.mean(ratios), rel=1e-8)
    repeated = rows.clone()
    repeated[:, HEADER : HEADER + 4] = repeated[:, 1:2]
    assert value("diversity", repeated) == pytest.approx(0, abs=1e-9)


def test_too_few_rows_have_no_distance() -> None:
    assert np.isnan(value("frechet", kept(1)))
    assert np.isnan(value("kernel_distance", kept(1)))
    assert np.isfinite([value("frechet", kept(2)), value("kernel_distance", kept(2))]).all()
    assert value("modes", kept(2)) == 2  # of the classes that were requested once


def test_a_diversity_without_rows_is_undefined_for_each_class() -> None:
    metric = SampleMetric("diversity", 3)
    assert (metric.diversities().shape, metric.over()) == ((3,), (0, 3))
    small = kept()
    small[:, HEADER:] /= 1000
    assert value("diversity", small) == pytest.approx(value("diversity", kept()), rel=1e-4)


def test_features_of_a_model_that_diverged_have_no_distance() -> None:
    rows = kept()
    rows[3, HEADER + 1] = torch.nan
    assert np.isnan(value("frechet", rows)) and np.isnan(value("kernel_distance", rows))


def test_nothing_is_expected_of_a_class_without_training_rows() -> None:
    judge = Judge((1, 8, 8), 3)
    reference = torch.cat([torch.tensor([[0.0, 0], [1, 1]]), torch.randn(2, FEATURES)], dim=1)
    facts = judge.to_facts(reference, 0.9)
    task = Generate(
        ("a", "b", "c"), (1, 1, 0), judge_weights=facts.weights, judge_image=facts.image,
        judge_reference=facts.reference,
    )  # fmt: skip
    _, rows = task.baselines(np.zeros(60), kept(60, FEATURES))["training_rows"]
    assert rows[:, HEADER : HEADER + FEATURES].isnan().any(dim=1).tolist() == [False, False, True] * 20
    assert value("recognized", rows) == pytest.approx(2 / 3)
    assert np.isnan(value("frechet", rows))


def test_the_table_of_judged_rows_restores_what_metrics_take() -> None:
    task = Generate(("a", "b", "c"), (5, 5, 5))
    rows = kept(9)
    table = task.judged(rows, np.zeros(9))
    assert list(table.columns[:4]) == ["class", "recognized_as", "loss", "made_0"]
    restored = task.metric_inputs_of(table)
    assert restored is not None
    torch.testing.assert_close(restored[0], rows)
    assert task.metric_inputs_of(pd.DataFrame({"class": ["a"]})) is None


def test_a_judge_in_plain_types_judges_alike() -> None:
    torch.manual_seed(0)
    judge = Judge((1, 8, 8), 3)
    judge.scale.fill_(2.5)
    images = torch.randint(0, 256, (7, 1, 8, 8)).byte()
    features, seen = judge.judged(images)
    reference = torch.cat([torch.zeros(7, 2), features], dim=1)
    facts = judge.to_facts(reference, 0.9)
    again = judge_of(facts.weights, facts.image, 3)
    for a, b in zip((features, seen), again.judged(images), strict=True):
        assert torch.equal(a, b)
    assert features.shape == (7, FEATURES)
    torch.testing.assert_close(reference_of(facts.reference), reference, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="missing or has another shape"):
        judge_of(facts.weights, (1, 8, 8), 4)


def test_noise_depends_on_the_number_of_the_draw_alone() -> None:
    assert torch.equal(drawn_noise([3, 1], (2, 2))[1], drawn_noise([1], (2, 2))[0])
    assert not torch.equal(*drawn_noise([1, 2], (5,)))
    assert drawn_noise([], (5,)).shape == (0, 5)


def test_rows_are_encoded_with_the_number_of_their_draw() -> None:
    task = Generate(("a", "b"), (5, 5))
    assert task.encode(np.array([1, 0, 1])).tolist() == [[1, 0], [0, 1], [1, 2]]


class Painter(torch.nn.Module):
    """Makes a grey image of its class, and shows the noise in the first pixel."""

    noise_shape = (2,)

    def __init__(self) -> None:
        super().__init__()
        self.shade = torch.nn.Parameter(torch.zeros(()))

    def make(self, noise: Tensor, codes: Tensor) -> Tensor:
        images = (codes.float()[:, None, None, None] / 127.5 - 1).expand(-1, 1, 2, 2).clone()
        images[:, 0, 0, 0] = noise[:, 0] / 10
        return images + self.shade

    def loss(self, images: Tensor, codes: Tensor) -> Tensor:
        return images.mean() + codes.float().mean()


def test_images_of_a_strip_are_of_all_classes_and_those_between_two_draws_begin_and_end_with_them() -> None:
    network = SimpleNamespace(model=Painter(), parameters=Painter().parameters)
    few, many = (Generate([str(code) for code in range(n)], [1] * n) for n in (3, 60))
    assert few.strip(network)[:, 0, 1, 1].tolist() == [row % 3 for row in range(20)]
    assert many.strip(network)[:, 0, 1, 1].tolist() == [3 * row for row in range(20)]
    images = few.between(network, [1, 2], 3)
    assert images[:, 0, 1, 1].tolist() == [1, 1, 1, 2, 2, 2]
    ends = drawn_noise([4, 5], (2,))[:, 0] / 10
    torch.testing.assert_close(images[[3, 5], 0, 0, 0], ((ends + 1) * 127.5).round())


def test_a_step_has_one_loss_unless_the_model_trains_its_parts_in_turns() -> None:
    task, model = Generate(["a", "b"], [1, 1]), Painter()
    batch = {"x": torch.full((2, 1, 2, 2), 255.0), "y": torch.tensor([[1, 0], [1, 1]])}
    network = SimpleNamespace(model=model)
    loss, of_rows = task.step(network, batch)
    assert loss.item() == 2
    assert of_rows.tolist() == [[2.0], [2.0]]
    assert task.turns(network, batch) is None
