"""Sixteen learning rates of an MLP on iris, each on five folds, in one process: `grid.py lightning|optuna EPOCHS`.

`lightning` is a loop with a Trainer's defaults, without its bar; `optuna` is a study whose trials leave out checkpoints
and the summary, too.
"""

import logging
import sys
import warnings

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from sklearn.datasets import load_iris
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy

RATES = np.geomspace(1e-3, 1e-1, 16)
BATCH = 32

warnings.filterwarnings("ignore")
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


class Net(pl.LightningModule):
    def __init__(self, lr):
        super().__init__()
        self.lr = lr
        self.model = nn.Sequential(
            nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)
        )
        self.accuracy = MulticlassAccuracy(3, average="micro")

    def training_step(self, batch, index):
        return functional.cross_entropy(self.model(batch[0]), batch[1])

    def validation_step(self, batch, index):
        outputs = self.model(batch[0])
        self.accuracy(outputs, batch[1])
        self.log("val_loss", functional.cross_entropy(outputs, batch[1]))
        self.log("val_accuracy", self.accuracy)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.lr)


def folds():
    x, y = load_iris(return_X_y=True)
    x, y = x.astype(np.float32), y.astype(np.int64)
    rest, _ = train_test_split(np.arange(len(x)), test_size=0.2, stratify=y, random_state=0)
    for train, val in StratifiedKFold(5, shuffle=True, random_state=0).split(x[rest], y[rest]):
        scaler = StandardScaler().fit(x[rest[train]])
        yield [
            TensorDataset(torch.from_numpy(scaler.transform(x[rows])), torch.from_numpy(y[rows]))
            for rows in (rest[train], rest[val])
        ]


def fit(lr, parts, name, **lean):
    trainer = pl.Trainer(
        max_epochs=int(sys.argv[2]),
        accelerator="cpu",
        logger=CSVLogger("lightning", name=name),
        default_root_dir="lightning",
        enable_progress_bar=False,
        **lean,
    )
    trainer.fit(Net(lr), DataLoader(parts[0], BATCH, shuffle=True), DataLoader(parts[1], 512))
    return trainer.callback_metrics["val_loss"].item()


made = list(folds())
if sys.argv[1] == "lightning":
    losses = [np.mean([fit(lr, parts, f"{lr:.4f}") for parts in made]) for lr in RATES]
    print("runs", len(losses) * len(made), "best", min(losses))
else:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    lean = {"enable_checkpointing": False, "enable_model_summary": False}

    def objective(trial):
        lr = trial.suggest_categorical("lr", RATES.tolist())
        return np.mean([fit(lr, parts, f"trial-{trial.number}", **lean) for parts in made])

    study = optuna.create_study(sampler=optuna.samplers.GridSampler({"lr": RATES.tolist()}))
    study.optimize(objective)
    print("runs", len(study.trials) * len(made), "best", study.best_value)
