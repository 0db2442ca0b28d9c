from __future__ import annotations

from dlcli.config import former_names
from dlcli.config.build import locate
from dlcli.config.former_names import with_present_names


def test_every_former_name_refers_to_an_existing_object() -> None:
    for former, present in former_names._FORMER.items():
        assert former != present
        assert callable(locate(present))


def test_a_configuration_of_an_earlier_release_gets_the_present_names() -> None:
    config = {
        "dataset": {"_target_": "dlcli.datasets.iris.load", "batch_size": 16},
        "trainer": {"profiler": {"_target_": "dlcli.training.profiling.StepProfiler"}},
        "callbacks": [{"_target_": "torch.nn.ReLU"}, "dlcli.datasets.iris.load"],
    }
    assert with_present_names(config) == {
        "dataset": {"_target_": "dlcli.datasets.bundled.iris", "batch_size": 16},
        "trainer": {"profiler": {"_target_": "dlcli.training.step_profiler.StepProfiler"}},
        "callbacks": [{"_target_": "torch.nn.ReLU"}, "dlcli.datasets.iris.load"],
    }
