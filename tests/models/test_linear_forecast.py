"""The linear forecast model: weighted sums of the past values of a column."""

from __future__ import annotations

import pytest
import torch

from dlcli.models.linear_forecast import LinearForecast

LOOKBACK, HORIZON, TARGETS = 8, 3, 2


def test_each_target_depends_on_its_own_past_only() -> None:
    torch.manual_seed(0)
    x = torch.randn(5, LOOKBACK + HORIZON, 4, requires_grad=True)
    for shared in (True, False):
        model = LinearForecast((LOOKBACK + HORIZON, 4), HORIZON * TARGETS, LOOKBACK, HORIZON, shared=shared)
        torch.nn.init.normal_(model.weight)
        outputs = model(x).reshape(5, HORIZON, TARGETS)
        (gradient,) = torch.autograd.grad(outputs[2, :, 1].sum(), x)
        assert gradient[2, :LOOKBACK, 1].abs().min() > 0
        gradient[2, :LOOKBACK, 1] = 0
        assert (gradient == 0).all()
        assert all(p.grad is None for p in model.parameters())
        swapped = model(x[:, :, [1, 0, 2, 3]]).reshape(5, HORIZON, TARGETS)
        assert torch.allclose(swapped[..., 0], outputs[..., 1], atol=1e-5) == shared


def test_other_data_is_rejected() -> None:
    with pytest.raises(ValueError, match="only forecasts series"):
        LinearForecast((LOOKBACK, TARGETS), 3)


def test_it_learns_a_recurrence() -> None:
    # x[t] = 1.5 x[t-1] - 0.7 x[t-2], so every later value is a weighted sum of the last two.
    generator = torch.Generator().manual_seed(0)
    starts = torch.randn(64, 2, generator=generator)
    rows = [starts]
    for _ in range(LOOKBACK + HORIZON - 2):
        rows.append(1.5 * rows[-1][:, -1:] - 0.7 * torch.cat(rows, 1)[:, -2:-1])
    series = torch.cat(rows, dim=1)
    model = LinearForecast((LOOKBACK, 1), HORIZON, LOOKBACK, HORIZON)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=1, max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (model(series[:, :LOOKBACK, None]) - series[:, LOOKBACK:]).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert closure().item() < 1e-4
