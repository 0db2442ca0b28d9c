"""Calibration of probabilities: a map of the logits, fitted on validation rows after training.

Temperature scaling multiplies all logits by one number; vector scaling has a factor and an offset for each class (Guo
et al., "On Calibration of Modern Neural Networks", ICML 2017; for two classes it is Platt scaling). Isotonic regression
maps the probability of the second of two classes with an increasing function (Zadrozny and Elkan, KDD 2002).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from dlcli.formatting import number

Calibrator = Literal["none", "temperature", "vector", "isotonic", "auto"]

# Names in the record of the values of the fact `calibration_scores`.
_SCORES = ("log_loss_before", "log_loss_after", "error_before", "error_after")

_FOLDS, _FEWEST, _BINS = 5, 20, 15
_PENALTY = 1e-3  # keeps logits finite if validation rows are separated perfectly
_FARTHEST = math.log(100)


class ScaledLogits(nn.Module):
    """Logits `(N, L)` multiplied by `scale` plus `shift`, `(L,)` or `(1,)` each."""

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Sequence[float], shift: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32), persistent=False)
        self.register_buffer("shift", torch.tensor(shift, dtype=torch.float32), persistent=False)

    def forward(self, outputs: Tensor) -> Tensor:
        """Return the scaled logits `(N, L)`."""
        return outputs * self.scale.to(outputs.dtype) + self.shift.to(outputs.dtype)


class IsotonicLogits(nn.Module):
    """Piecewise linear increasing map of the probability of the second class, the sigmoid of logits `(N, 1)`."""

    left: Tensor
    length: Tensor
    slope: Tensor

    def __init__(self, knots: Sequence[float], values: Sequence[float]) -> None:
        super().__init__()
        x, y = (torch.tensor(v, dtype=torch.float64) for v in (knots, values))
        self.first = float(y[0])
        length = x.diff()
        for name, v in (("left", x[:-1]), ("length", length), ("slope", y.diff() / length)):
            self.register_buffer(name, v.float(), persistent=False)

    def forward(self, outputs: Tensor) -> Tensor:
        """Return the logits `(N, 1)` of the mapped probabilities."""
        parts = (outputs.float().sigmoid() - self.left).clamp_min(0).minimum(self.length) * self.slope
        return (self.first + parts.sum(dim=-1, keepdim=True)).logit(eps=1e-6).to(outputs.dtype)


def calibration_module(by: str | None, values: Sequence[Sequence[float]]) -> nn.Module | None:
    """Return the calibration described by the facts `calibrated_by` and `calibration`; None without one."""
    if by in (None, "none"):
        return None
    return (IsotonicLogits if by == "isotonic" else ScaledLogits)(*values)


def calibrated_facts(method: Calibrator, outputs: Tensor, y: np.ndarray) -> dict[str, Any]:
    """Return the facts of the best calibration on validation rows; empty if none is configured.

    Methods are compared by log loss in a stratified five-fold cross-validation on the validation rows, from no
    calibration to the most complex method. A method is chosen if it lowers the mean loss of the method chosen before by
    more than the standard error of the mean difference. It is then fitted on all of these rows. If none is chosen,
    `calibrated_by` is `none`.

    Args:
        method: The method, or `auto` for the best one.
        outputs: Logits `(N, C)`, or `(N, 1)` for two classes.
        y: Class codes, `(N,)`.
    """
    if method == "none":
        return {}
    logits, codes = outputs.detach().double().cpu(), torch.from_numpy(np.asarray(y)).long().flatten()
    single = logits.shape[1] == 1
    before = _losses(logits, codes)
    error = calibration_error(_probabilities(logits), codes.numpy())
    unchanged = [float(before.mean()), float(before.mean()), error, error]
    none = {"calibrated_by": "none", "calibration": [], "calibration_scores": unchanged}
    counts = torch.bincount(codes, minlength=2 if single else logits.shape[1])
    if len(codes) < _FEWEST or int((counts > 0).sum()) < 2:
        return none
    names = ["temperature", "vector", *(["isotonic"] if single else [])] if method == "auto" else [method]
    folds = _folds(codes.numpy())
    kept, losses, mapped_best = "", before, logits
    for name in names:
        mapped = torch.empty_like(logits)
        for fold in range(_FOLDS):
            own = torch.from_numpy(folds == fold)
            module = calibration_module(name, _fitted(name, logits[~own], codes[~own]))
            assert module is not None
            mapped[own] = module(logits[own])
        after = _losses(mapped, codes)
        gain = losses - after
        if float(gain.mean()) > float(gain.std()) / math.sqrt(len(gain)):
            kept, losses, mapped_best = name, after, mapped
    if not kept:
        return none
    own_error = calibration_error(_probabilities(mapped_best), codes.numpy())
    return {
        "calibrated_by": kept,
        "calibration": _fitted(kept, logits, codes),
        "calibration_scores": [unchanged[0], float(losses.mean()), error, own_error],
    }


def apply_calibration(facts: Mapping[str, Any], outputs: Tensor) -> Tensor:
    """Return the logits that a network with these facts would return."""
    module = calibration_module(facts.get("calibrated_by"), facts.get("calibration", ()))
    return outputs if module is None else module.to(outputs.device)(outputs)


def calibration_figures(facts: Mapping[str, Any]) -> dict[str, float]:
    """Return the values of a calibration under their names in the record."""
    scores = facts.get("calibration_scores", ())
    return {f"calibration/{name}": score for name, score in zip(_SCORES, scores, strict=False)}


def described_calibration(by: str | None, scores: Sequence[float]) -> str:
    """Return a description such as `probabilities calibrated by temperature scaling (...)`; empty without one."""
    if by is None:
        return ""
    before, after, error, own = scores
    if by == "none":
        return (
            f"probabilities not calibrated, since none lowers the log loss of {number(before)} beyond chance"
        )
    name = "isotonic regression" if by == "isotonic" else f"{by} scaling"
    return (
        f"probabilities calibrated by {name} (on rows it was not fitted on: log loss {number(before)} to "
        f"{number(after)}, calibration error {number(error)} to {number(own)})"
    )


def calibration_error(probabilities: np.ndarray, codes: np.ndarray) -> float:
    """Return the expected calibration error of the predicted class in 15 bins of equal width (Guo et al., 2017)."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == codes
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    apart = np.bincount(bins, right - confidence, minlength=_BINS)
    return float(np.abs(apart).sum() / len(codes))


def _fitted(name: str, logits: Tensor, codes: Tensor) -> list[list[float]]:
    if name == "isotonic":
        return _isotonic(logits, codes)
    width = logits.shape[1] if name == "vector" else 1
    scale, shift = (torch.zeros(width, dtype=torch.float64, requires_grad=True) for _ in range(2))
    fitted = [scale, shift] if name == "vector" else [scale]
    optimizer = torch.optim.LBFGS(fitted, max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        factor = scale.clamp(-_FARTHEST, _FARTHEST).exp()
        loss = _losses(logits * factor + shift, codes).mean()
        loss = loss + _PENALTY * (scale.square().sum() + shift.square().sum())
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return [scale.detach().clamp(-_FARTHEST, _FARTHEST).exp().tolist(), shift.detach().tolist()]


def _isotonic(logits: Tensor, codes: Tensor) -> list[list[float]]:
    from sklearn.isotonic import IsotonicRegression  # only this method needs it

    # Keep probabilities away from 0 and 1, which finitely many rows cannot establish.
    most = 1 - 1 / (len(codes) + 2)
    found = IsotonicRegression(y_min=1 - most, y_max=most, out_of_bounds="clip")
    found.fit(logits.sigmoid().flatten().numpy(), codes.numpy())
    x, y = np.asarray(found.X_thresholds_, np.float64), np.asarray(found.y_thresholds_, np.float64)
    if len(x) < 2:
        return [[0.0, 1.0], [float(y[0])] * 2]
    return [x.tolist(), y.tolist()]


def _folds(codes: np.ndarray) -> np.ndarray:
    """Return the fold of each row, `(N,)`, with equal shares of classes."""
    shuffled = np.random.default_rng(0).permutation(len(codes))
    order = shuffled[np.argsort(codes[shuffled], kind="stable")]
    folds = np.empty(len(codes), np.int64)
    folds[order] = np.arange(len(codes)) % _FOLDS
    return folds


def _losses(logits: Tensor, codes: Tensor) -> Tensor:
    """Return the log loss of each row, `(N,)`."""
    if logits.shape[1] == 1:
        z = logits.flatten()
        return softplus(z) - codes * z
    return cross_entropy(logits, codes, reduction="none")


def _probabilities(logits: Tensor) -> np.ndarray:
    if logits.shape[1] == 1:
        p = logits.sigmoid()
        return torch.cat([1 - p, p], dim=1).numpy()
    return logits.softmax(dim=1).numpy()
