"""The scripts of bundles decode texts, words and tags as the tasks do."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dlcli.datasets.words.schemes import entities_of
from dlcli.datasets.words.sentences import word_spans
from dlcli.tasks.ctc_decoding import best_paths, prefix_search
from dlcli.tasks.ctc_loss import log_likelihoods
from tests.exporting.hard_texts import TEXTS

pytest.importorskip("onnxruntime", reason="needs the extra onnx")


def script(folder: Path, spec: dict[str, Any], *parts: str) -> dict[str, Any]:
    """Return the names of a script that consists of parts, with its settings."""
    (folder / "bundle.json").write_text(json.dumps(spec))
    files = resources.files("dlcli.exporting") / "bundle_files"
    found: dict[str, Any] = {"__file__": str(folder / "predict.py"), "__name__": "script"}
    exec("".join(files.joinpath(part).read_text() for part in parts), found)
    return found


@pytest.mark.parametrize("beam", [1, 4])
def test_recordings_are_decoded_by_the_same_search(beam: int, tmp_path: Path) -> None:
    found = script(tmp_path, {"beam": beam}, "read_audio.txt", "ctc.txt")
    values = torch.randn(6, 9, 4, generator=torch.Generator().manual_seed(0)).mul(2).log_softmax(dim=2)
    values[0, :, 0] = 0.0  # blanks alone: an empty text
    values[0, :, 1:] = -20.0
    steps = torch.tensor([9, 9, 7, 3, 1, 9])
    texts = best_paths(values, steps) if beam == 1 else prefix_search(values, steps, beam)
    expected = log_likelihoods(values, steps, texts)
    for row, length in enumerate(steps.tolist()):
        own = values[row, :length].double().numpy()
        text = found["searched"](own)
        assert list(text) == [code for code in texts[row].tolist() if code]
        assert found["likelihood"](own, text) == pytest.approx(float(expected[row]), rel=1e-4, abs=1e-4)


def test_texts_are_divided_into_the_same_words_and_entities(tmp_path: Path) -> None:
    found = script(
        tmp_path,
        {"words": ["cafe\u0301", "00"], "lowercase": True, "digits": True},
        "read_words.txt",
        "tags.txt",
    )
    marks = (
        "cafe\u0301s \u0939\u093f\u0928\u094d\u0926\u0940, \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    )
    for text in (*TEXTS, marks, "", "a\u0301b c"):
        assert found["spans_of"](text) == word_spans(text)
    assert [found["number_of"](word) for word in ("CAFE\u0301", "47", "x")] == [2, 3, 1]
    tags = ["B-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-PER", "NOUN", "I-PER"]
    spans = [(2 * place, 2 * place + 1) for place in range(len(tags))]
    expected = [
        {"start": spans[first][0], "end": spans[end - 1][1], "label": kind}
        for first, end, kind in entities_of(tags)
    ]
    assert found["entities_of"](tags, spans) == expected


def test_samples_are_those_of_the_decoder(tmp_path: Path) -> None:
    from dlcli.datasets.audio.audio_decoder import decode_sound
    from dlcli.datasets.folders.stored import MemoryEntry
    from tests.tones import write_wav

    found = script(tmp_path, {"rate": 4000, "samples": 50}, "read_audio.txt")
    random = np.random.default_rng(0)
    for name, kind in (("bytes", np.uint8), ("usual", np.int16), ("long", np.int32)):
        limits = np.iinfo(kind)
        wave = random.integers(limits.min, limits.max, (60, 2), dtype=kind, endpoint=True)
        for channels in (1, 2):
            file = write_wav(tmp_path / f"{name}{channels}.wav", np.ascontiguousarray(wave[:, :channels]))
            expected = decode_sound(MemoryEntry(file.name, file.read_bytes())).samples[:50]
            assert found["decode"](file).tolist() == expected.tolist(), file.name
