"""A sweep of iris with Optuna and Lightning, two processes on one study: `sweep_optuna.py TRIALS`.

After optuna-examples' pytorch_lightning_simple, with a journal that the processes share.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

WORKERS = 2


def work(journal, trials):
    import logging
    import warnings

    import numpy as np
    import pytorch_lightning as pl
    import torch
    from sklearn.datasets import load_iris
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler
    from torch import nn
    from torch.nn import functional
    from torch.utils.data import DataLoader, TensorDataset
    from torchmetrics.classification import MulticlassAccuracy

    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    x, y = load_iris(return_X_y=True)
    x, y = x.astype(np.float32), y.astype(np.int64)
    rest, _ = train_test_split(np.arange(150), test_size=0.2, stratify=y, random_state=0)
    train, val = train_test_split(rest, test_size=0.15, stratify=y[rest], random_state=0)
    scaler = StandardScaler().fit(x[train])
    parts = [
        TensorDataset(torch.from_numpy(scaler.transform(x[rows])), torch.from_numpy(y[rows]))
        for rows in (train, val)
    ]

    class Net(pl.LightningModule):
        def __init__(self, hidden, lr):
            super().__init__()
            self.lr = lr
            self.model = nn.Sequential(
                nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 3)
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

    def objective(trial):
        hidden = trial.suggest_categorical("hidden", [8, 16, 32])
        lr = trial.suggest_float("lr", 1e-3, 1e-1, log=True)
        trainer = pl.Trainer(
            max_epochs=5,
            accelerator="cpu",
            logger=True,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir="lightning",
            log_every_n_steps=1,
        )
        trainer.logger.log_hyperparams({"hidden": hidden, "lr": lr})
        trainer.fit(Net(hidden, lr), DataLoader(parts[0], 32, shuffle=True), DataLoader(parts[1], 512))
        return trainer.callback_metrics["val_loss"].item()

    study(journal).optimize(objective, n_trials=trials)


def study(journal):
    storage = JournalStorage(JournalFileBackend(journal))
    return optuna.create_study(study_name="iris", storage=storage, load_if_exists=True)


if len(sys.argv) == 2:
    with tempfile.TemporaryDirectory() as folder:
        journal, share = str(Path(folder, "journal.log")), int(sys.argv[1]) // WORKERS
        study(journal)
        command = [sys.executable, __file__, journal, str(share)]
        workers = [subprocess.Popen(command) for _ in range(WORKERS)]
        if any(worker.wait() for worker in workers):
            sys.exit("a worker failed")
        found = study(journal)
        print("trials", len(found.trials), "best", found.best_value)
else:
    work(sys.argv[1], int(sys.argv[2]))
