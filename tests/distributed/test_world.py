"""Errors that only say that another rank is gone, as opposed to errors of a model."""

from __future__ import annotations

import pytest
from torch import distributed

from dlcli.distributed.world import RankLost, is_lost

GLOO = "[/pytorch/third_party/gloo/gloo/transport/tcp"


@pytest.mark.parametrize(
    "error",
    [
        RankLost(),
        RuntimeError(f"{GLOO}/pair.cc:561] Connection closed by peer [127.0.0.1]:31107."),
        RuntimeError(f"{GLOO}/unbound_buffer.cc:78] Timed out waiting 5000ms for recv operation to complete"),
        distributed.DistBackendError("NCCL communicator was aborted on rank 0."),
        distributed.DistNetworkError("The client socket has failed to connect"),
    ],
    ids=["before it joined", "peer gone", "timeout", "nccl", "network"],
)
def test_another_rank_is_gone(error: Exception) -> None:
    assert is_lost(error)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("Connection refused"),
        RuntimeError("Connection to the feature server closed by peer"),
        RuntimeError("recv: no more samples"),
        RuntimeError("my layer gloo: shapes differ; see [gloo/transport/tcp/pair.cc:1] of the log"),
        ValueError(f"{GLOO}/pair.cc:561] Connection closed by peer"),
        KeyError("NCCL"),
    ],
    ids=["a server", "another server", "recv", "gloo", "not a RuntimeError", "NCCL"],
)
def test_a_model_fails_with_such_words(error: Exception) -> None:
    assert not is_lost(error)
