"""The scripts of bundles decode texts, words and tags as the tasks do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dlcli.datasets.reading.number_formats import NumberFormat
from dlcli.datasets.words.schemes import entities_of
from dlcli.datasets.words.sentences import word_spans
from dlcli.tasks.ctc_decoding import best_paths, prefix_search
from dlcli.tasks.ctc_loss import log_likelihoods
from tests.exporting.bundle_script import script
from tests.exporting.hard_texts import TEXTS

pytest.importorskip("onnxruntime", reason="needs the extra onnx")


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

    found = script(tmp_path, {"rate": 4000}, "read_audio.txt")
    random = np.random.default_rng(0)
    for name, kind in (("bytes", np.uint8), ("usual", np.int16), ("long", np.int32), ("longest", np.int64)):
        limits = np.iinfo(kind)
        wave = random.integers(limits.min, limits.max, (60, 2), dtype=kind, endpoint=True)
        for channels in (1, 2):
            file = write_wav(tmp_path / f"{name}{channels}.wav", np.ascontiguousarray(wave[:, :channels]))
            expected = decode_sound(MemoryEntry(file.name, file.read_bytes())).samples
            assert found["decode"](file).tolist() == expected.tolist(), file.name
    file.write_bytes(file.read_bytes().replace(b"\x10\x00\x40\x00data", b"\x12\x00\x48\x00data"))
    with pytest.raises(ValueError, match="has 72 bits per sample, more than 64"):
        found["decode"](file)


def test_names_of_series_are_read_without_blanks_around_them(tmp_path: Path) -> None:
    column = {"name": "a", "missing": [""], "markers": [], "number": NumberFormat().expression(), "thousands": "",
              "decimal": ".", "absent": [], "like": "1234.5"}  # fmt: skip
    form = {"separator": ",", "quoting": 0, "encoding": "utf-8", "rewrites": []}
    found = script(tmp_path, {"columns": [column], "label": "shop", **form}, "read_steps.txt")
    file = tmp_path / "steps.csv"
    file.write_text("shop,a\n north,1\nnorth ,2\nsouth,3\n")
    assert {name: steps[:, 0].tolist() for name, steps in found["steps_of"](file).items()} == {
        "north": [1.0, 2.0], "south": [3.0],
    }  # fmt: skip
    file.write_text("shop,a\n ,1\n")
    with pytest.raises(ValueError, match=r"steps.csv:2, column shop: is empty"):
        found["steps_of"](file)
