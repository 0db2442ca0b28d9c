"""Ten folds of a table in plain PyTorch, or as a Lightning user writes them: `folds.py loop|lightning TABLE`."""

import sys

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn

EPOCHS, BATCH = 10, 128


def net():
    return nn.Sequential(nn.Linear(20, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))


def loop(parts, fold):
    (x, y), (x_val, y_val), (x_test, y_test) = parts
    model, criterion = net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            criterion(model(x[rows]), y[rows]).backward()
            optimizer.step()
        with torch.inference_mode():
            outputs = model(x_val)
            criterion(outputs, y_val).item(), (outputs.argmax(1) == y_val).float().mean().item()
    with torch.inference_mode():
        return (model(x_test).argmax(1) == y_test).float().mean().item()


def lightning(parts, fold):
    import pytorch_lightning as pl
    from pytorch_lightning.loggers import CSVLogger
    from torch.nn import functional
    from torch.utils.data import DataLoader, TensorDataset
    from torchmetrics.classification import MulticlassAccuracy

    class Net(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = net()
            self.val_accuracy = MulticlassAccuracy(2, average="micro")
            self.test_accuracy = MulticlassAccuracy(2, average="micro")

        def training_step(self, batch, index):
            loss = functional.cross_entropy(self.model(batch[0]), batch[1])
            self.log("train_loss", loss, prog_bar=True)
            return loss

        def validation_step(self, batch, index):
            outputs = self.model(batch[0])
            self.val_accuracy(outputs, batch[1])
            self.log("val_loss", functional.cross_entropy(outputs, batch[1]), prog_bar=True)
            self.log("val_accuracy", self.val_accuracy, prog_bar=True)

        def test_step(self, batch, index):
            self.test_accuracy(self.model(batch[0]), batch[1])
            self.log("test_accuracy", self.test_accuracy)

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 1e-3)

    train, val, test = (TensorDataset(*part) for part in parts)
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=CSVLogger("lightning", version=fold),
        default_root_dir="lightning",
    )
    model = Net()
    trainer.fit(model, DataLoader(train, BATCH, shuffle=True), DataLoader(val, 512))
    return trainer.test(model, DataLoader(test, 512))[0]["test_accuracy"]


torch.manual_seed(0)
fit = {"loop": loop, "lightning": lightning}[sys.argv[1]]
frame = pd.read_parquet(sys.argv[2])
x, y = frame.drop(columns="y").to_numpy(np.float32), (frame.y == "b").to_numpy(np.int64)
accuracies = []
for fold, (rest, test) in enumerate(StratifiedKFold(10, shuffle=True, random_state=0).split(x, y)):
    train, val = train_test_split(rest, test_size=0.15, stratify=y[rest], random_state=0)
    scaler = StandardScaler().fit(x[train])
    parts = [
        (torch.from_numpy(scaler.transform(x[rows])), torch.from_numpy(y[rows]))
        for rows in (train, val, test)
    ]
    accuracies.append(fit(parts, fold))
print("test accuracy", np.mean(accuracies))
