from __future__ import annotations

import numpy as np
import pytest
import skops.io
import torch

from dlcli.datasets.bundled import digits, iris
from dlcli.preprocessing.image import Image
from dlcli.preprocessing.table import Table


def test_images_are_scaled_by_the_training_pixels() -> None:
    images = digits().x[:500]
    fitted = Image().fit(images)
    fields = fitted.transform(images)
    assert fields["x"].dtype == np.uint8
    assert fields["x"].shape == (500, 1, 8, 8)
    x = fitted.on_device()(torch.from_numpy(fields["x"]))
    assert x.dtype == torch.float32
    assert x.mean().item() == pytest.approx(0, abs=1e-5)
    assert x.std(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_colour_images_have_their_channels_first_and_their_own_scale() -> None:
    images = np.zeros((4, 2, 3, 3), np.uint8)
    images[..., 1] = 255
    images[:2, ..., 2] = 255
    fitted = Image().fit(images)
    x = fitted.on_device()(torch.from_numpy(fitted.transform(images)["x"]))
    assert x.shape == (4, 3, 2, 3)
    # Constant channels become zeros, not NaN.
    assert x[:, :2].abs().max() < 1e-6
    assert x[:, 2].unique().tolist() == pytest.approx([-1, 1])


def test_without_scaling_bytes_become_shares_of_the_full_range() -> None:
    images = np.full((1, 2, 2), 51, np.uint8)
    fitted = Image(scaling="none").fit(images)
    x = fitted.on_device()(torch.from_numpy(fitted.transform(images)["x"]))
    assert torch.allclose(x, torch.tensor(0.2))


def test_columns_are_found_in_any_order() -> None:
    table = iris().x
    fitted = Table().fit(table)
    swapped = table[table.columns[::-1]]
    assert np.array_equal(fitted.transform(table)["x"], fitted.transform(swapped)["x"])
    assert fitted.transform(table)["x"].std(axis=0) == pytest.approx(np.ones(4), abs=1e-5)


@pytest.mark.parametrize("scaling", ["standard", "none"])
def test_a_transformed_row_does_not_depend_on_its_neighbours(scaling: str) -> None:
    table = iris().x
    fitted = Table(scaling=scaling).fit(table[:100])
    alone = np.concatenate([fitted.transform(table[i : i + 1])["x"] for i in range(150)])
    assert np.array_equal(alone, fitted.transform(table)["x"])


def test_skops_restores_the_fitted_state() -> None:
    table = iris().x
    fitted = Table().fit(table)
    content = skops.io.dumps(fitted)
    unknown = skops.io.get_untrusted_types(data=content)
    assert "dlcli.preprocessing.table.Table" in unknown
    loaded = skops.io.loads(content, trusted=unknown)
    assert np.array_equal(loaded.transform(table)["x"], fitted.transform(table)["x"])
