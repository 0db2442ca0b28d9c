"""The convolutional recurrent network."""

from __future__ import annotations

import pytest
import torch

from dlcli.models.crnn import CRNN


@pytest.mark.parametrize("bidirectional", [True, False])
def test_outputs_do_not_depend_on_the_padding_of_a_batch(bidirectional: bool) -> None:
    torch.manual_seed(0)
    model = CRNN(
        (0, 6), 4, channels=(3, 5), stride=[2, 1], hidden=7, bidirectional=bidirectional, outputs_of="step"
    )
    model.eval()
    x, lengths = torch.randn(3, 11, 6), torch.tensor([11, 4, 7])
    together = model(x, lengths)
    assert model.frames_per_step == 2
    assert together.shape == (3, 6, 4)
    for row, length in enumerate(lengths.tolist()):
        alone = model(x[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(together[row : row + 1, : alone.shape[1]], alone)


def test_rows_are_pooled_for_a_class_each() -> None:
    model = CRNN((0, 6), 4, hidden=7, cell="gru")
    assert model(torch.randn(2, 9, 6), torch.tensor([9, 5])).shape == (2, 4)
    assert model(torch.randn(2, 9, 6)).shape == (2, 4)
