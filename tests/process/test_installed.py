from importlib import metadata

import pytest

from dlcli.process.installed import name_and_version, version_of


def test_versions_are_those_of_importlib() -> None:
    found = [(one.metadata["Name"], one.metadata["Version"]) for one in metadata.distributions()]
    assert [name_and_version(one) for one in metadata.distributions()] == found
    assert version_of("torch") == metadata.version("torch")
    assert version_of("scikit_learn") == metadata.version("scikit-learn")


def test_a_missing_package_has_no_version() -> None:
    assert version_of("no-such-package") is None


@pytest.mark.parametrize("head", ["", "Name: x\n\n", "Version: 1\n\nName: x\n"])
def test_a_package_may_lack_its_metadata(head: str) -> None:
    class Broken(metadata.Distribution):
        def read_text(self, filename: str) -> str | None:
            return head if filename == "METADATA" else None

        def locate_file(self, path: object) -> None:  # type: ignore[override]
            return None

    assert name_and_version(Broken()) is None
