"""A sweep of iris with Ray Tune, two trials at once, each a plain PyTorch loop: `sweep_ray.py TRIALS`."""

import os
import sys
import tempfile

import ray
from ray import tune
from ray.tune.search.optuna import OptunaSearch


def train(config):
    import numpy as np
    import torch
    from sklearn.datasets import load_iris
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler
    from torch import nn
    from torch.nn import functional
    from torch.utils.data import DataLoader, TensorDataset

    torch.set_num_threads(1)
    x, y = load_iris(return_X_y=True)
    x, y = x.astype(np.float32), y.astype(np.int64)
    rest, _ = train_test_split(np.arange(150), test_size=0.2, stratify=y, random_state=0)
    train, val = train_test_split(rest, test_size=0.15, stratify=y[rest], random_state=0)
    scaler = StandardScaler().fit(x[train])
    rows = TensorDataset(torch.from_numpy(scaler.transform(x[train])), torch.from_numpy(y[train]))
    x_val, y_val = torch.from_numpy(scaler.transform(x[val])), torch.from_numpy(y[val])
    hidden = config["hidden"]
    model = nn.Sequential(
        nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 3)
    )
    optimizer = torch.optim.Adam(model.parameters(), config["lr"])
    for _ in range(5):
        for x_batch, y_batch in DataLoader(rows, 32, shuffle=True):
            optimizer.zero_grad()
            functional.cross_entropy(model(x_batch), y_batch).backward()
            optimizer.step()
        with torch.inference_mode():
            tune.report({"val_loss": functional.cross_entropy(model(x_val), y_val).item()})


os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
with tempfile.TemporaryDirectory() as folder:
    tuner = tune.Tuner(
        train,
        param_space={"hidden": tune.choice([8, 16, 32]), "lr": tune.loguniform(1e-3, 1e-1)},
        tune_config=tune.TuneConfig(
            metric="val_loss",
            mode="min",
            num_samples=int(sys.argv[1]),
            max_concurrent_trials=2,
            search_alg=OptunaSearch(),
        ),
        run_config=tune.RunConfig(storage_path=folder, verbose=1),
    )
    result = tuner.fit()
    print("trials", len(result), "best", result.get_best_result().metrics["val_loss"])
ray.shutdown()
