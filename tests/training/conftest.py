from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _every_epoch_is_written() -> Iterator[None]:
    """Checkpoints are written after each epoch, so that short training runs have some to continue from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dlcli.training.checkpoints._EPOCH_SECONDS", -1.0)
        yield
