"""Parameter groups with and without weight decay, and the state of an optimizer after a checkpoint is restored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from torch import Tensor
from torch.optim import Optimizer

from dlcli.training.biases import is_weight

# States of torch's optimizers with the shape of the parameter.
_PER_NUMBER = {
    "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "momentum_buffer",
    "square_avg", "grad_avg", "acc_delta", "sum",
}  # fmt: skip


def parameter_groups(
    parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
    lr: float,
    weight_decay: float,
    on: Literal["weights", "all"],
) -> list[Tensor] | list[dict[str, Any]]:
    """Return parameters, or parameter groups with their own learning rate and weight decay, for an optimizer.

    The learning rate of a given group is its `lr_share` of `lr`.
    """
    given: list[Any] = list(parameters)
    if not given or isinstance(given[0], Tensor):
        return _by_decay(given, weight_decay, on)
    groups: list[dict[str, Any]] = []
    for group in given:
        own = {**group, "lr": lr * group["lr_share"]}
        parts = _by_decay(group["params"], weight_decay, on)
        groups += [{**own, **part} for part in parts if isinstance(part, dict)] or [own]
    return groups


def _by_decay(
    trained: list[Tensor], weight_decay: float, on: Literal["weights", "all"]
) -> list[Tensor] | list[dict[str, Any]]:
    """Return the parameters as one list, or with `on="weights"` as two groups, the second without weight decay.

    Parameters with more than one dimension are weights, unless they are marked as biases. Decaying biases, and scale
    and shift of a normalization, restricts the model without making it simpler (Goyal et al., 2017, section 5.3).
    """
    weights = [parameter for parameter in trained if is_weight(parameter)]
    if on == "all" or weight_decay == 0 or len(weights) in (0, len(trained)):
        return trained
    others = [parameter for parameter in trained if not is_weight(parameter)]
    groups: list[dict[str, Any]] = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    return groups


def rate_of(optimizer: Any) -> float:
    """Return the learning rate of an optimizer, of which its parameter groups may have shares."""
    group = optimizer.param_groups[0]
    return float(group["lr"]) / float(group.get("lr_share", 1))


def settle_restored(optimizer: Optimizer, names: Mapping[str, Tensor]) -> None:
    """Check an optimizer's state after a checkpoint was restored, and make its attributes consistent with its groups.

    torch does not compare shapes, and its fused kernels would read past the end of a smaller state. The implementation
    is taken from the restored groups; if the constructor's was fused, torch's gradient scaler would still leave
    unscaling to the step, which only a fused step performs.

    Args:
        optimizer: the optimizer; those of other packages are not changed.
        names: names of the parameters, for the message.

    Raises:
        ValueError: the shapes of a state and its parameter differ.
    """
    if not type(optimizer).__module__.startswith(("torch.optim.", "dlcli.")):
        return
    called = {id(parameter): name for name, parameter in names.items()}
    for parameter, state in optimizer.state.items():
        for key in _PER_NUMBER & state.keys():
            if isinstance(state[key], Tensor) and state[key].shape != parameter.shape:
                raise ValueError(
                    f"the optimizer's {key} of {called.get(id(parameter), 'a parameter')} has the shape "
                    f"{tuple(state[key].shape)}, and the parameter {tuple(parameter.shape)}: another model, "
                    "or one of an earlier version, has written it"
                )
    if "fused" in optimizer.defaults and not any(group.get("fused") for group in optimizer.param_groups):
        optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
