"""The rows of `bench peers`: a command of dlcli, and what a user of each peer would write for the same work.

Words of a command may hold `{table}` and other names of `bench._peer_data`, `{runs}`, an empty folder for runs,
`{scripts}` and `{work}`, the folder that commands run in.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench._environments import Environment

PROJECT = Environment("project", (), ("torch",))
LIGHTNING = Environment("project", (), ("pytorch-lightning",))
OPTUNA = Environment("project", (), ("optuna", "pytorch-lightning"))
RAY = Environment("project", (), ("ray",))
PANDAS = Environment("project", (), ("pandas",))
PIL = Environment("project", (), ("pillow",))
TORCHVISION = Environment("project", (), ("torchvision",))
OWN = Environment("project", (), ())
KERAS = Environment("keras", ("keras", "tensorflow-cpu"), ("keras", "tensorflow-cpu"))
SKORCH = Environment("skorch", ("skorch",), ("skorch",), over_project=True)
LUDWIG = Environment("ludwig", ("ludwig",), ("ludwig",), over_project=True)

DLCLI = ("-m", "dlcli")
TABLE = ("dataset=table", "dataset.target=y", "model=mlp")
MNIST = ("dataset.root={mnist}", "runs_dir={runs}")
TUNED = "PyTorch loop, channels-last, bfloat16, pooling first"
DESCRIBED = "pandas: `describe`, `nunique`, `duplicated`"


@dataclass(frozen=True)
class Peer:
    """`python WORDS...` in an environment.

    Args:
        name: in the budget and as a word of the command.
        label: in the table.
        words: arguments of the interpreter.
        environment: whose interpreter.
        less: arguments of a second process, whose time is subtracted.
    """

    name: str
    label: str
    words: tuple[str, ...]
    environment: Environment = PROJECT
    less: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A work, dlcli's command for it and its peers.

    Args:
        name: in the budget and as a word of the command.
        work: in the table.
        words: arguments of dlcli's own interpreter.
        peers: what it is compared with.
        less: arguments of a second process, whose time is subtracted.
        quick: the name of the peer that `--check` compares with; empty for rows that take too long.
    """

    name: str
    work: str
    words: tuple[str, ...]
    peers: tuple[Peer, ...]
    less: tuple[str, ...] = ()
    quick: str = ""


def script(name: str, *words: str) -> tuple[str, ...]:
    return (f"{{scripts}}/{name}.py", *words)


def folds(jobs: int) -> tuple[str, ...]:
    return (
        *(*DLCLI, "train", *TABLE, "dataset.path={table}", "dataset.batch_size=128", "trainer.max_epochs=10"),
        *("cv=stratified_kfold", "cv.folds=10", "--jobs", str(jobs), "runs_dir={runs}"),
    )


def sweep(jobs: int) -> tuple[str, ...]:
    return (
        *(*DLCLI, "sweep", "dataset=iris", "model=mlp", "model.hidden=8,16,32", "trainer.max_epochs=5"),
        *("optimizer.lr=tag(log,interval(1e-3,1e-1))", "--trials", "40", "--jobs", str(jobs)),
        "runs_dir={runs}",
    )


def grid(epochs: int) -> tuple[str, ...]:
    rates = ",".join(f"{0.001 * 100 ** (number / 15):.6f}" for number in range(16))
    return (
        *(*DLCLI, "sweep", "dataset=iris", "model=mlp", "model.hidden=16", f"trainer.max_epochs={epochs}"),
        *(f"optimizer.lr={rates}", "cv=stratified_kfold", "cv.folds=5", "callbacks=none", "runs_dir={runs}"),
    )


def digits(epochs: int, *words: str) -> tuple[str, ...]:
    return (
        *(*DLCLI, "train", "experiment=mnist_cnn", f"trainer.max_epochs={epochs}", "callbacks=none", *MNIST),
        *words,
    )


def steps(epochs: int) -> tuple[str, ...]:
    return (
        *(*DLCLI, "train", *TABLE, "dataset.path={steps}", "dataset.batch_size=32", "callbacks=none"),
        *(f"trainer.max_epochs={epochs}", "baseline=none", "runs_dir={runs}"),
    )


ROWS = (
    Row(
        "train_iris",
        "`train dataset=iris model=mlp`, one epoch",
        (*DLCLI, "train", "dataset=iris", "model=mlp", "trainer.max_epochs=1", "runs_dir={runs}"),
        (Peer("imports", "`import torch, pytorch_lightning`", ("-c", "import torch, pytorch_lightning"), LIGHTNING),),
        quick="imports",
    ),
    Row(
        "predict_row",
        "`predict` of one row",
        (*DLCLI, "predict", "pred", "{one_row}", "--output", "{work}/one.csv", "--runs-dir", "{trained}"),
        (Peer("import", "`import torch`", ("-c", "import torch")),),
        quick="import",
    ),
    Row(
        "step",
        "20 epochs of 425 steps, MLP 20-128-128-2, batch 32: 25 epochs less 5",
        steps(25),
        (
            Peer(
                "loop",
                "PyTorch loop, fused Adam",
                script("step", "{steps}", "25"),
                less=script("step", "{steps}", "5"),
            ),
        ),
        less=steps(5),
        quick="loop",
    ),
    Row(
        "ten_folds",
        "10 folds, 10,000 x 20, 10 epochs",
        folds(1),
        (
            Peer("loop", "PyTorch loop", script("folds", "loop", "{table}")),
            Peer("lightning", "Lightning", script("folds", "lightning", "{table}"), LIGHTNING),
            Peer("skorch", "skorch", script("folds_skorch", "{table}", "1"), SKORCH),
            Peer(
                "ludwig",
                "Ludwig",
                (
                    *("-m", "ludwig.experiment", "--config", "{scripts}/ludwig.yaml", "--dataset", "{table_csv}"),
                    *("--k_fold", "10", "--output_directory", "{work}/ludwig"),
                ),
                LUDWIG,
            ),
        ),
        quick="loop",
    ),
    Row(
        "ten_folds_two_jobs",
        "the same, `--jobs 2`",
        folds(2),
        (
            Peer("one_job", "dlcli, `--jobs 1`", folds(1), OWN),
            Peer("skorch", "skorch, `n_jobs=2`", script("folds_skorch", "{table}", "2"), SKORCH),
        ),
    ),
    Row(
        "sweep_iris",
        "sweep of iris, 40 trials of 5 epochs, two at once",
        sweep(2),
        (
            Peer("optuna", "Optuna + Lightning", script("sweep_optuna", "40"), OPTUNA),
            Peer("ray", "Ray Tune", script("sweep_ray", "40"), RAY),
        ),
        quick="optuna",
    ),
    Row(
        "grid_iris",
        "16 settings of an MLP on 5 folds of iris, 50 epochs",
        grid(50),
        (
            Peer("lightning", "Lightning, a Trainer's defaults", script("grid", "lightning", "50"), LIGHTNING),
            Peer("optuna", "Optuna + Lightning", script("grid", "optuna", "50"), OPTUNA),
        ),
    ),
    Row(
        "predict_rows",
        "`predict` of 1 million rows x 20, CSV to CSV",
        (*DLCLI, "predict", "pred", "{rows}", "--output", "{work}/rows.csv", "--runs-dir", "{trained}"),
        (Peer("pandas", "pandas + PyTorch", script("predict_rows", "{rows}", "{work}/peer.csv"), PANDAS),),
        quick="pandas",
    ),
    Row(
        "decode",
        "reading 5,000 JPEG files of 32 x 32, without imports",
        script("decode", "dlcli", "{images}"),
        (
            Peer("pil", "PIL, one thread", script("decode", "pil", "{images}"), PIL),
            Peer(
                "torchvision",
                "torchvision's `decode_jpeg`",
                script("decode", "torchvision", "{images}"),
                TORCHVISION,
            ),
        ),
        quick="pil",
    ),
    Row(
        "mnist_dense",
        "MNIST, MLP 784-512-10, 5 epochs",
        (*DLCLI, "train", "experiment=mnist_mlp", *MNIST),
        (
            Peer("loop", "PyTorch loop", script("mnist", "{mnist}", "mlp", "5")),
            Peer("lightning", "Lightning", script("mnist_lightning", "{mnist}", "5"), LIGHTNING),
            Peer("keras", "Keras", script("mnist_keras", "{mnist}", "mlp", "5"), KERAS),
        ),
    ),
    Row(
        "mnist_conv",
        "MNIST, CNN, 2 epochs",
        digits(2),
        (
            Peer("loop", "PyTorch loop", script("mnist", "{mnist}", "cnn", "2")),
            Peer("tuned", TUNED, script("mnist", "{mnist}", "tuned", "2")),
            Peer("keras", "Keras", script("mnist_keras", "{mnist}", "cnn", "2"), KERAS),
        ),
    ),
    Row(
        "mnist_conv_auto",
        "the same, `trainer.precision=auto`",
        digits(2, "trainer.precision=auto"),
        (
            Peer("tuned", TUNED, script("mnist", "{mnist}", "tuned", "2")),
            Peer("keras", "Keras", script("mnist_keras", "{mnist}", "cnn", "2"), KERAS),
        ),
    ),
    Row(
        "mnist_conv_epoch",
        "an epoch of it: 2 epochs less 1, 32 bits",
        digits(2),
        (
            Peer(
                "keras",
                "Keras",
                script("mnist_keras", "{mnist}", "cnn", "2"),
                KERAS,
                script("mnist_keras", "{mnist}", "cnn", "1"),
            ),
        ),
        less=digits(1),
    ),
    Row(
        "check_rows",
        "`check` of 3 million rows x 32, Parquet",
        (*DLCLI, "check", *TABLE, "dataset.path={larger}"),
        (Peer("pandas", DESCRIBED, script("describe_table", "{larger}"), PANDAS),),
    ),
    Row(
        "check_rows_csv",
        "`check` of the same as CSV",
        (*DLCLI, "check", *TABLE, "dataset.path={larger_csv}"),
        (Peer("pandas", DESCRIBED, script("describe_table", "{larger_csv}"), PANDAS),),
    ),
    Row(
        "boxes",
        "SSDlite on BCCD, one epoch",
        (
            *(*DLCLI, "train", "dataset=detection", "dataset.path={bccd}", "dataset.format=voc"),
            *("dataset.size=[240,320]", "dataset.batch_size=4", "model=detector", "model.weights={mobilenet}"),
            *("finetune=none", "optimizer=adamw", "optimizer.lr=0.002", "scheduler=onecycle", "callbacks=none"),
            *("augmentation=image", "augmentation.crop=0", "trainer.max_epochs=1", "runs_dir={runs}"),
        ),
        (
            Peer(
                "torchvision",
                "torchvision's `SSD`",
                script("torchvision_bccd", "{bccd}", "{mobilenet}", "1"),
                TORCHVISION,
            ),
        ),
    ),
    Row(
        "large_parquet",
        "2 million rows x 32, Parquet, one epoch",
        (
            *(*DLCLI, "train", *TABLE, "dataset.path={large}", "dataset.batch_size=1024", "trainer.max_epochs=1"),
            "runs_dir={runs}",
        ),
        (
            Peer("indexed", "PyTorch loop over indexed tensors", script("large_table", "indexed", "{large}")),
            Peer("loader", "PyTorch loop over a `DataLoader`", script("large_table", "loader", "{large}")),
        ),
    ),
)  # fmt: skip
