"""Image generation by class, evaluated by a classifier (the judge) on generated and real images."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import pandas as pd
import torch
from annotated_types import Ge
from torch import Tensor, nn

from dlcli.tasks.base import Task
from dlcli.tasks.judge import judge_of, reference_of
from dlcli.tasks.metric_choice import MetricChoice
from dlcli.tasks.sample_metrics import HEADER, SampleMetric
from dlcli.training.turns import Turn, turn_parts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Number of pixels generated at a time, which limits the memory of an evaluation.
_PIXELS, _MOST = 1 << 18, 512

# Number of images of a strip.
_STRIP = 20

_NOISE_IMAGES = 1000  # images of the baseline


class Generate(Task):
    """Image generation by class. Targets are `(N, 2)`: the class, and the index of the noise draw.

    A model generates images from noise and classes (`make`), and has a `loss`, or several as `turns`; see
    `docs/generation.md`. In evaluation an image of the row's class is generated for each row. Kept are `(N, 3 + 2 F)`:
    loss of the batch, requested class, class predicted by the judge, and the judge's features of the generated image
    and of the row's own image.

    Args:
        classes: names of the classes.
        class_counts: number of training rows of each class.
        epoch_samples: number of images that are generated and evaluated in each epoch.
        metrics: names of the metrics in report order, options of the group `metric`; `default` stands for those of the
            task.
        judge: RUN, a classifier of the same classes and of images of this size, used as the judge; None trains a judge.
        judge_weights: weights of the judge (`JudgeFacts`); None before it is trained.
        judge_image: channels, height and width of an image.
        judge_reference: features of training rows.
        judge_accuracy: accuracy of the judge.
        judge_rows: rows on which the accuracy was computed.
        judge_network: network of a judge that is the classifier of a run.
        judge_name: name of that run.
    """

    kind: ClassVar = "generate"
    accepts: ClassVar = {"binary", "multiclass"}
    loss_of_model: ClassVar = True
    judges_training_rows: ClassVar = False  # no images are generated for training rows
    predicts_rows: ClassVar = False
    default_metrics = ("frechet", "kernel_distance", "recognized", "diversity", "modes")

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[int],
        epoch_samples: Annotated[int, Ge(2)] = 500,
        metrics: Sequence[str | MetricChoice] = ("default",),
        judge: str | None = None,
        judge_weights: str | None = None,
        judge_image: Sequence[int] | None = None,
        judge_reference: str | None = None,
        judge_accuracy: float | None = None,
        judge_rows: str = "validation",
        judge_network: str | None = None,
        judge_name: str | None = None,
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.num_outputs = len(self.classes)
        self.class_counts = tuple(class_counts)
        self.rows_of_an_epoch = epoch_samples
        self.criterion = nn.Identity()
        self.judge = (
            judge_of(judge_weights, judge_image, self.num_outputs, judge_network) if judge_weights else None
        )
        accuracy = (
            "" if judge_accuracy is None else f" with accuracy {judge_accuracy:.3f} on {judge_rows} rows"
        )
        self._judged_by = f"{'a CNN' if judge_name is None else f'the run {judge_name}'}{accuracy}"
        self._reference = reference_of(judge_reference) if judge_reference else None
        self.choose(metrics)

    def encode(self, y: Any) -> np.ndarray:
        """Return the class and the index of the noise draw of each row, `(N, 2)`."""
        codes = np.asarray(y, np.int64)
        return np.stack([codes, np.arange(len(codes))], axis=1)

    def step(self, network: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the model's loss of a batch, also repeated for each row `(N, 1)`."""
        loss = network.model.loss(pixels_to_unit(batch["x"]), batch["y"][:, 0])
        return loss, loss.detach().expand(len(batch["y"]), 1)

    def turns(self, network: Any, batch: Mapping[str, Tensor]) -> Iterator[Turn] | None:
        """Return the losses of a model that trains its parts in turns; None for others."""
        if not turn_parts(network.model):
            return None
        found: Iterator[Turn] = network.model.turns(pixels_to_unit(batch["x"]), batch["y"][:, 0])
        return found

    @torch.no_grad()
    def evaluated(
        self,
        network: Any,
        batch: Mapping[str, Tensor],
        y: Tensor | None = None,
        metrics: Collection[str] | None = None,
    ) -> Tensor:
        """Generate an image for each row and return the kept values; features are NaN without a judge."""
        if y is None:
            raise TypeError("images are made of the classes of y")
        made = self.made(network, y)
        with drawn_by(int(y[0, 1]), y.device):
            images = pixels_to_unit(batch["x"])
            losses = (
                [loss for _, loss in network.model.turns(images, y[:, 0])]
                if turn_parts(network.model)
                else [network.model.loss(images, y[:, 0])]
            )
        header = torch.zeros(len(y), HEADER, device=y.device)
        header[:, 0] = torch.stack([torch.as_tensor(loss) for loss in losses]).sum()
        header[:, 1] = y[:, 0]
        if self.judge is None:
            return torch.cat([header, torch.full((len(y), 2), torch.nan, device=y.device)], dim=1)
        features, header[:, 2] = self.judge.judged(made)
        return torch.cat([header, features, self.judge.judged(batch["x"])[0]], dim=1)

    def made(self, network: Any, y: Tensor) -> Tensor:
        """Return images `(N, C, H, W)` with integer values from 0 to 255, for classes and draws `(N, 2)`."""
        noise = drawn_noise(y[:, 1].tolist(), network.model.noise_shape).to(y.device)
        return self._pixels(network, noise, y[:, 0])

    @torch.no_grad()
    def _pixels(self, network: Any, noise: Tensor, codes: Tensor) -> Tensor:
        return ((network.model.make(noise, codes) + 1) * 127.5).round().clamp(0, 255)

    def strip(self, network: Any) -> Tensor:
        """Return images `(N, C, H, W)` from 0 to 255 from fixed noise, cycling through a few classes."""
        codes = torch.arange(_STRIP) * max(1, self.num_outputs // _STRIP) % self.num_outputs
        device = next(network.parameters()).device
        return self.made(network, torch.stack([codes, torch.arange(_STRIP)], dim=1).to(device))

    def between(self, network: Any, codes: Sequence[int], columns: int) -> Tensor:
        """Return images `(classes * columns, C, H, W)` from 0 to 255 of an interpolation between two noise vectors.

        The interpolation is spherical, so that noise keeps its norm (Shoemake, 1985).
        """
        model, device = network.model, next(network.parameters()).device
        found = []
        for code in codes:
            start, end = drawn_noise([2 * code, 2 * code + 1], model.noise_shape)
            angles = torch.linspace(0, torch.pi / 2, columns).reshape(-1, *[1] * start.ndim)
            noise = (angles.cos() * start + angles.sin() * end).to(device)
            found.append(self._pixels(network, noise, torch.full((columns,), code, device=device)))
        return torch.cat(found)

    def kept(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs, and the classes `(N,)`."""
        return outputs, y[:, 0]

    def kept_loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean of the losses of the rows' batches."""
        return outputs[:, 0].mean()

    def rows_at_once(self, input_shape: Sequence[int]) -> int:
        """Return the number of images with about a quarter of a million pixels, at most 512."""
        return max(1, min(_MOST, _PIXELS // max(1, int(np.prod(input_shape[1:])))))

    def metric_inputs(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return both unchanged."""
        return outputs, y

    def metric_facts(self, *, tuned: bool = True) -> dict[str, Any]:
        """Return the arguments that metrics can take."""
        return {"task": "generate", "num_classes": self.num_outputs, "classes": self.classes}

    def baseline(self) -> tuple[Task, Tensor]:
        """Return no outputs: the baselines need the evaluated rows."""
        return self, torch.zeros(self.num_outputs)

    def baselines(self, x: Any, kept: Tensor | None = None, y: Any = None) -> dict[str, tuple[Task, Tensor]]:
        """Return two baselines: noise (the worst case) and training rows (the best possible) as generated images."""
        if kept is None or self.judge is None or self._reference is None:
            raise TypeError("the baselines of generated images need their stored outputs and a judge")
        rows, asked = torch.arange(len(kept)), kept[:, 1]
        real = kept[:, HEADER:].unflatten(1, (2, -1))[:, 1]
        noise = torch.rand(_NOISE_IMAGES, *self.judge.image, generator=torch.Generator().manual_seed(0))
        features, seen = self.judge.judged((noise * 255).round())
        chosen = rows % len(noise)

        def instead(seen: Tensor, features: Tensor) -> Tensor:
            loss = torch.full((len(kept), 1), torch.nan)
            return torch.cat([loss, asked[:, None], seen[:, None].float(), features, real], dim=1)

        found: dict[str, tuple[Task, Tensor]] = {"": (self, instead(seen[chosen], features[chosen]))}
        places = torch.full((len(kept),), len(self._reference))
        for code in range(self.num_outputs):
            own = (self._reference[:, 0] == code).nonzero()[:, 0]
            here = (asked == code).nonzero()[:, 0]
            if len(own):
                places[here] = own[torch.arange(len(here)) % len(own)]
        # A class without training rows has no features.
        unknown = torch.full((1, self._reference.shape[1]), torch.nan)
        unknown[:, 1] = self.num_outputs
        chosen_rows = torch.cat([self._reference, unknown])[places]
        found["training_rows"] = (self, instead(chosen_rows[:, 1], chosen_rows[:, 2:]))
        return found

    def baseline_descriptions(self) -> dict[str, str]:
        """Return descriptions of the baselines."""
        rows = "" if self._reference is None else f"{len(self._reference):,} "
        return {"": "noise", "training_rows": f"images of {rows}training rows, the best that can be expected"}

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """Return the requested class and the class predicted by the judge."""
        names = np.array(self.classes, dtype=object)
        asked, seen = outputs[:, 1].long().numpy(), outputs[:, 2].long().numpy()
        return pd.DataFrame({"class": names[asked], "recognized_as": names[seen]})

    def targets(self, y: Any) -> pd.DataFrame:
        """Return no columns; the requested class is in `predictions`."""
        return pd.DataFrame(index=range(len(y)))

    def judged(self, outputs: Tensor, y: Any) -> pd.DataFrame:
        """Return `predictions`, the loss, and the judge's features of the generated and of the real image."""
        columns = ["loss", *self._feature_columns((outputs.shape[1] - HEADER) // 2)]
        values = torch.cat([outputs[:, :1], outputs[:, HEADER:]], dim=1).numpy()
        return pd.concat([self.predictions(outputs), pd.DataFrame(values, columns=columns)], axis=1)

    def metric_inputs_of(self, table: pd.DataFrame) -> tuple[Tensor, Tensor, dict[str, Tensor]] | None:
        """Restore the kept values."""
        width = sum(str(name).startswith("made_") for name in table.columns)
        columns = ["loss", *self._feature_columns(width)]
        if not width or not {*columns, "class", "recognized_as"} <= set(table.columns):
            return None
        codes = {name: code for code, name in enumerate(self.classes)}
        values = torch.tensor(table[columns].to_numpy(np.float32))
        asked, seen = (
            torch.tensor([codes[name] for name in table[column]], dtype=torch.float32)
            for column in ("class", "recognized_as")
        )
        header = torch.stack([values[:, 0], asked, seen], dim=1)
        return torch.cat([header, values[:, 1:]], dim=1), asked.long(), {}

    def _feature_columns(self, width: int) -> list[str]:
        return [f"{whose}_{number}" for whose in ("made", "real") for number in range(width)]

    def describe(self) -> str:
        """Return a description such as `generation of 10 classes, judged by a CNN with accuracy 0.980 on
        validation rows`."""
        return f"generation of {self.num_outputs} classes, judged by {self._judged_by}"

    def breakdown(self, outputs: Tensor, y: Any) -> pd.DataFrame:
        """Return the number of images, the share recognized and the diversity of each class."""
        metric = SampleMetric("diversity", self.num_outputs)
        metric.update(outputs.double(), outputs[:, 1])
        asked, seen = outputs[:, 1].long(), outputs[:, 2].long()
        right = torch.bincount(asked[asked == seen], minlength=self.num_outputs)
        return pd.DataFrame(
            {
                "class": self.classes,
                "made": metric.asked.long().numpy(),
                "seen": metric.seen.long().numpy(),
                "recognized": (right / metric.asked).numpy(),
                "diversity": metric.diversities().numpy(),
            }
        )

    def pictures(self, outputs: Tensor, y: Any) -> Iterator[tuple[str, Figure]]:
        """Yield the confusion matrix of requested classes and those predicted by the judge."""
        from dlcli.reports.classification import confusion_matrix  # a prediction needs no matplotlib

        asked, seen = outputs[:, 1].long().numpy(), outputs[:, 2].long().numpy()
        figure = confusion_matrix(asked, seen, self.classes)
        figure.axes[0].set(ylabel="requested class", xlabel="class according to the judge")
        yield "recognized", figure


def pixels_to_unit(x: Tensor) -> Tensor:
    """Return pixels from 0 to 255 as floats from -1 to 1."""
    return x.float() / 127.5 - 1


def drawn_noise(draws: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Return standard normal noise `(N, *shape)` that depends only on the indices of the draws."""
    if not len(draws):
        return torch.empty(0, *shape)
    return torch.stack([torch.randn(*shape, generator=torch.Generator().manual_seed(draw)) for draw in draws])


@contextmanager
def drawn_by(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's random numbers within the context, and restore the random state afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
