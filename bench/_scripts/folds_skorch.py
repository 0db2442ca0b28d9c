"""Ten folds of a table with skorch in scikit-learn's cross_validate: `folds_skorch.py TABLE JOBS`."""

import sys

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from skorch.dataset import ValidSplit
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(20, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2)
        )

    def forward(self, x):
        return self.layers(x)


if __name__ == "__main__":
    torch.manual_seed(0)
    frame = pd.read_parquet(sys.argv[1])
    x, y = frame.drop(columns="y").to_numpy(np.float32), (frame.y == "b").to_numpy(np.int64)
    net = NeuralNetClassifier(
        Net,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        max_epochs=10,
        batch_size=128,
        iterator_train__shuffle=True,
        train_split=ValidSplit(0.15, stratified=True),
        verbose=0,
    )
    result = cross_validate(
        make_pipeline(StandardScaler(), net),
        x,
        y,
        cv=StratifiedKFold(10, shuffle=True, random_state=0),
        n_jobs=int(sys.argv[2]),
        scoring=["accuracy", "roc_auc", "neg_log_loss"],
    )
    print("test accuracy", result["test_accuracy"].mean())
