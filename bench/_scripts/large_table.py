"""One epoch of 2 million rows: `large_table.py indexed|loader TABLE`."""

import sys

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BATCH = 1024
torch.manual_seed(0)
frame = pd.read_parquet(sys.argv[2])
order = np.random.default_rng(0).permutation(len(frame))
n_test, n_val = int(0.2 * len(frame)), int(0.15 * 0.8 * len(frame))
test, val, train = order[:n_test], order[n_test : n_test + n_val], order[n_test + n_val :]
model = nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 1))
optimizer, criterion = torch.optim.Adam(model.parameters()), nn.MSELoss()
x, y = frame.drop(columns="y").to_numpy(np.float32), frame.y.to_numpy(np.float32)[:, None]
del frame


def step(x, y):
    optimizer.zero_grad()
    criterion(model(x), y).backward()
    optimizer.step()


if sys.argv[1] == "indexed":
    x = torch.from_numpy((x - x[train].mean(0)) / x[train].std(0))
    y, train, val, test = map(torch.from_numpy, (y, train, val, test))
    for rows in train[torch.randperm(len(train))].split(BATCH):
        step(x[rows], y[rows])
    with torch.inference_mode():
        for part in (val, test):
            print(sum(criterion(model(x[r]), y[r]).item() * len(r) for r in part.split(8192)) / len(part))
else:
    scaler = StandardScaler().fit(x[train])
    parts = [
        TensorDataset(torch.from_numpy(scaler.transform(x[rows])), torch.from_numpy(y[rows]))
        for rows in (train, val, test)
    ]
    for batch in DataLoader(parts[0], BATCH, shuffle=True):
        step(*batch)
    with torch.inference_mode():
        for part in parts[1:]:
            print(sum(criterion(model(a), b).item() * len(a) for a, b in DataLoader(part, 8192)) / len(part))
