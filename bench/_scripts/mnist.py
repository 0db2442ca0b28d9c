"""MNIST in plain PyTorch: `mnist.py FOLDER mlp|cnn|tuned EPOCHS`. Rows are tensors, a batch is an indexed read.

`tuned` is the CNN with channels-last tensors, bfloat16, and pooling before the activation.
"""

import sys
from functools import partial

import torch
from mnist_files import read
from torch import nn

folder, kind, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.manual_seed(0)
(x, y), (x_test, y_test) = [
    (torch.from_numpy(images)[:, None], torch.from_numpy(labels)) for images, labels in read(folder)
]
order = torch.randperm(len(x))
x_val, y_val, x, y = x[order[:3000]], y[order[:3000]], x[order[3000:]], y[order[3000:]]
if kind == "mlp":
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.001, alpha=0.9)
else:
    tail = (nn.MaxPool2d(2), nn.ReLU()) if kind == "tuned" else (nn.ReLU(), nn.MaxPool2d(2))
    model = nn.Sequential(
        *(nn.Conv2d(1, 32, 3), *tail, nn.Dropout(0.25)),
        *(nn.Flatten(), nn.Linear(5408, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)),
    )
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0, rho=0.95)
if kind == "tuned":
    model = model.to(memory_format=torch.channels_last)
criterion = nn.CrossEntropyLoss()
precision = partial(torch.autocast, "cpu", torch.bfloat16, enabled=kind == "tuned")


def judge(x, y):
    model.eval()
    with torch.inference_mode(), precision():
        outputs = torch.cat([model(batch) for batch in x.split(512)])
    model.train()
    return criterion(outputs, y).item(), (outputs.argmax(1) == y).float().mean().item()


for _ in range(epochs):
    for rows in torch.randperm(len(x)).split(128):
        optimizer.zero_grad()
        with precision():
            loss = criterion(model(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
    judge(x_val, y_val)
print("test accuracy", judge(x_test, y_test)[1])
