"""Training steps of a small network in plain PyTorch: `step.py TABLE EPOCHS`. Batches of 32, Adam with fused=True."""

import sys

import numpy as np
import pandas as pd
import torch
from torch import nn

BATCH = 32
torch.manual_seed(0)
frame = pd.read_parquet(sys.argv[1])
x = torch.tensor(frame.drop(columns="y").to_numpy(np.float32))
y = torch.from_numpy((frame.y == "b").to_numpy(np.int64))
order = torch.randperm(len(x))
test, rest = order[: len(x) // 5], order[len(x) // 5 :]
val, train = rest[: round(0.15 * len(rest))], rest[round(0.15 * len(rest)) :]
mean, std = x[train].mean(0), x[train].std(0)
x = (x - mean) / std
x_train, y_train = x[train], y[train]
model = nn.Sequential(nn.Linear(20, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))
optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
criterion = nn.CrossEntropyLoss()
for _ in range(int(sys.argv[2])):
    for rows in torch.randperm(len(x_train)).split(BATCH):
        optimizer.zero_grad()
        criterion(model(x_train[rows]), y_train[rows]).backward()
        optimizer.step()
    with torch.inference_mode():
        outputs = model(x[val])
        criterion(outputs, y[val]).item(), (outputs.argmax(1) == y[val]).float().mean().item()
