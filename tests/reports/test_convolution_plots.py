"""The plot of a network's first convolution."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dlcli.reports import convolution_plots
from dlcli.reports.convolution_plots import filter_figure


def figure_of(network: nn.Module, image: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(model: Any, data: Any, rows: np.ndarray, device: Any, features: Any) -> None:
        assert rows.tolist() == [5]
        network(torch.as_tensor(image, dtype=torch.float32)[None].flatten(3).movedim(-1, 1))

    monkeypatch.setattr(convolution_plots, "kept_on", run)
    model: Any = SimpleNamespace(network=SimpleNamespace(model=network))
    data: Any = None
    return filter_figure(model, data, 5, image)


def test_filters_and_their_output_for_the_image_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 2, bias=False))
    with torch.no_grad():
        network[0].weight.fill_(1.0), network[0].bias.fill_(0.0)
        network[1].weight.zero_()
        network[1].weight[0, :, 0, 1] = 4.0  # the value right above
        network[1].weight[1, :, 1, 0] = -1.0
    image = np.arange(9, dtype=np.uint8).reshape(3, 3, 1)
    figure = figure_of(network, image, monkeypatch)
    (ax,) = figure.axes
    shown, kernels, maps = (picture.get_array() for picture in ax.images)
    assert shown.tolist() == image[..., 0].tolist()
    # Each has its own scale, and a line between them: the second kernel is darkest at its weight of -1.
    assert kernels[:, :2].tolist() == [[0, 1], [0, 0]] and kernels[:, 3:].tolist() == [[1, 1], [0, 1]]
    assert maps[:, :2].ravel().tolist() == pytest.approx([0, 0.25, 0.75, 1])
    assert maps[:, 3:].ravel().tolist() == pytest.approx([1, 0.75, 0.25, 0])
    assert ax.texts[0].get_text() == "image"
    assert not network[1]._forward_hooks


def test_kernels_of_three_channels_are_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    network = nn.Conv2d(3, 40, 3)
    figure = figure_of(network, image, monkeypatch)
    (_, kernels, _) = (picture.get_array() for picture in figure.axes[0].images)
    assert kernels.shape == (6 * 4 - 1, 6 * 4 - 1, 3)
    assert "The first 32 of 40 filters" in figure._supxlabel.get_text()


def test_a_network_without_convolutions_has_no_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros((2, 2), dtype=np.uint8)
    assert figure_of(nn.Linear(2, 1), image, monkeypatch) is None
    assert figure_of(nn.Conv2d(1, 1, 1), image, monkeypatch) is None
