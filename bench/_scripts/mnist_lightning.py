"""MNIST's MLP as in Lightning's own examples: `mnist_lightning.py FOLDER EPOCHS`. TensorDataset and DataLoader."""

import sys

import pytorch_lightning as pl
import torch
from mnist_files import read
from pytorch_lightning.loggers import CSVLogger
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset, random_split
from torchmetrics.classification import MulticlassAccuracy


class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))
        self.val_accuracy = MulticlassAccuracy(10, average="micro")
        self.test_accuracy = MulticlassAccuracy(10, average="micro")

    def training_step(self, batch, index):
        x, y = batch
        loss = functional.cross_entropy(self.model(x), y)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, index):
        x, y = batch
        outputs = self.model(x)
        self.val_accuracy(outputs, y)
        self.log("val_loss", functional.cross_entropy(outputs, y), prog_bar=True)
        self.log("val_accuracy", self.val_accuracy, prog_bar=True)

    def test_step(self, batch, index):
        x, y = batch
        self.test_accuracy(self.model(x), y)
        self.log("test_accuracy", self.test_accuracy)

    def configure_optimizers(self):
        return torch.optim.RMSprop(self.parameters(), lr=0.001, alpha=0.9)


pl.seed_everything(0)
train, test = [
    TensorDataset(torch.from_numpy(images)[:, None], torch.from_numpy(labels))
    for images, labels in read(sys.argv[1])
]
train, val = random_split(train, [57000, 3000])
trainer = pl.Trainer(
    max_epochs=int(sys.argv[2]),
    accelerator="cpu",
    logger=CSVLogger("lightning"),
    default_root_dir="lightning",
)
net = Net()
trainer.fit(net, DataLoader(train, 128, shuffle=True), DataLoader(val, 512))
trainer.test(net, DataLoader(test, 512))
