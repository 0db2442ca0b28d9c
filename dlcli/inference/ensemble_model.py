"""`Ensemble`: several saved models that predict as one, such as those of the folds of a cross-validation.

Each member applies its own preprocessing, which was fitted on its own training rows. Probabilities, values and
quantiles are averaged over the members, in the unit of the user; classes follow from the mean probabilities.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlcli.inference.ensemble_network import EnsembleNetwork, groups_of
from dlcli.inference.forward_passes import through
from dlcli.inference.member_outline import MemberOutline, merged
from dlcli.inference.saved_model import SavedModel
from dlcli.training.fields import Field

SPREAD = "spread"


@dataclass(frozen=True)
class EnsembleMember:
    """A model of an ensemble.

    Attributes:
        name: Name of its run.
        model: The model.
        count: Its weight in the mean, an integer.
    """

    name: str
    model: SavedModel
    count: int = 1


@dataclass(frozen=True)
class Ensemble(SavedModel):
    """Several saved models that predict as one; its attributes are those that the members have in common.

    Attributes:
        members: The models. `network` holds all of their networks; `preprocessing` is that of the first member.
    """

    members: tuple[EnsembleMember, ...] = ()

    def fields(self, x: Any, counts: Counter[str] | None = None) -> dict[str, Field]:
        """Return the fields of raw rows for each group of members, with the names that `EnsembleNetwork` expects.

        The largest counts of truncated or unknown values among the members are added to `counts`.
        """
        found: dict[str, Field] = {}
        most: Counter[str] = Counter()
        for place, group in enumerate(groups_of([member.model for member in self.members]), start=1):
            own: Counter[str] = Counter()
            fields = self.members[group[0]].model.fields(x, None if counts is None else own)
            found |= {f"{name}_{place}": values for name, values in fields.items()}
            most |= own
        if counts is not None:
            counts.update(most)
        return found

    def outputs_of_members(
        self, x: Any, device: torch.device | str = "cpu", counts: Counter[str] | None = None
    ) -> Tensor:
        """Return the outputs of each member for raw rows, `(N, K, ...)`, in the units of the ensemble's task."""
        network = self.network
        assert isinstance(network, EnsembleNetwork)
        found = through(
            network.uncombined(), self.task, self.fields(x, counts), device, lambda outputs, _: (outputs,)
        )
        return found[0] if found else torch.empty(0, len(self.members), self.task.num_outputs)

    def computed(
        self, rows: Any, device: torch.device | str, counts: Counter[str] | None
    ) -> tuple[Tensor, pd.DataFrame, list[pd.DataFrame]]:
        """Return outputs and predictions for rows that have been read, with the spread of the members, and theirs."""
        network = self.network
        assert isinstance(network, EnsembleNetwork)
        of_members = self.outputs_of_members(rows, device, counts)
        outputs = network.combined_members(of_members)
        table = self.task.predictions(outputs)
        tables = [self.task.predictions(found) for found in of_members.unbind(dim=1)]
        spread = spread_of(table, tables, [member.count for member in self.members])
        return outputs, pd.concat([table, spread], axis=1), tables

    def members_predictions(self, x: Any, device: torch.device | str = "cpu") -> list[pd.DataFrame]:
        """Return the predictions of each member for raw rows."""
        return [self.task.predictions(found) for found in self.outputs_of_members(x, device).unbind(dim=1)]


def spread_of(table: pd.DataFrame, members: Sequence[pd.DataFrame], counts: Sequence[int]) -> pd.DataFrame:
    """Return the standard deviation of the predictions over the members of an ensemble.

    For classes this is the column `spread`, of the probability of the predicted class; for labels `spread(LABEL)`, of
    each probability; for numbers `spread` or `spread(TARGET)`, in the unit of the target.

    Args:
        table: Predictions of the ensemble.
        members: Those of its members.
        counts: Weight of each member in the mean, an integer.
    """
    shares = [str(name) for name in table.columns if str(name).startswith("p(")]
    if shares and "prediction" in table:
        of_members = np.stack([one[shares].to_numpy(np.float64) for one in members])
        places = {name[2:-1]: place for place, name in enumerate(shares)}
        chosen = table["prediction"].astype(str).map(places).to_numpy(np.int64)
        values = of_members[:, np.arange(len(table)), chosen]
        return pd.DataFrame({SPREAD: _deviation(values, counts)})
    if shares:
        return pd.DataFrame(
            {
                f"{SPREAD}{name[1:]}": _deviation(np.stack([one[name] for one in members]), counts)
                for name in shares
            }
        )
    numbers = [str(name) for name in table.columns if str(name).startswith("prediction")]
    return pd.DataFrame(
        {
            f"{SPREAD}{name.removeprefix('prediction')}": _deviation(
                np.stack([one[name].to_numpy(np.float64) for one in members]), counts
            )
            for name in numbers
            if pd.api.types.is_numeric_dtype(table[name])
        }
    )


def _deviation(values: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Return the standard deviation over the first dimension, weighted by the counts."""
    mean = np.average(values, axis=0, weights=counts)
    return np.sqrt(np.average((values - mean) ** 2, axis=0, weights=counts))


def ensemble_of(members: Sequence[EnsembleMember], *, same_data: bool) -> Ensemble:
    """Return the ensemble of some models.

    Args:
        members: The models.
        same_data: Whether all were trained on the same data. Then some members may leave out columns that are constant
            in their training rows.

    Raises:
        InputError: The models are incompatible: they differ in the kind of data, task, classes, targets or columns.
    """
    first = members[0].model
    made = merged([MemberOutline.of(member.name, member.model) for member in members], same_data=same_data)
    kinds = Counter[str]()
    for member in members:
        kinds.update(member.model.image_kinds or {})
    return Ensemble(
        EnsembleNetwork([(member.model, member.count) for member in members], made.task),
        first.preprocessing,
        made.task,
        first.kind,
        first.input_shape,
        dict(kinds) if first.image_kinds is not None else None,
        made.columns,
        first.task_section,
        made.facts,
        members=tuple(members),
    )
