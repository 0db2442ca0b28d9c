"""A little data of each kind whose rows are more than a vector: written in any order, with the words that train on it.

Parts are given by the data, and all rows are one batch, so that the order of the rows changes nothing but rounding.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from tests.pairs_of_sentences import sentences
from tests.tiny_bert import save_tiny_bert
from tests.tones import tone, write_wav

Row = TypeVar("Row")
PARTS = {"train": 12, "val": 6, "test": 6}
PEOPLE, PLACES = ["Ada", "Bob", "Cy", "Dee"], ["Rome", "Oslo", "Lima", "Bonn"]
WORDS = [*PEOPLE, *PLACES, "the", "sun", "is", "warm", "lives", "in", ".", "Where", "does", "live", "?"]


def parts_of(rows: Sequence[Row], seed: int) -> dict[str, list[Row]]:
    """Return the rows of each part, in the order that a seed draws."""
    left, found = list(rows), {}
    for part, size in PARTS.items():
        own, left = left[:size], left[size:]
        random.Random(seed).shuffle(own)
        found[part] = own
    assert not left
    return found


def squares(seed: int) -> list[tuple[np.ndarray, int, tuple[int, int]]]:
    """Return images `(16, 16, 3)` of a square, with its class 1 or 2 and its corner."""
    draw, found = np.random.default_rng(seed), []
    for row in range(sum(PARTS.values())):
        pixels = draw.integers(0, 60, (16, 16, 3)).astype(np.uint8)
        top, left = map(int, draw.integers(0, 9, 2))
        pixels[top : top + 7, left : left + 7, 1 + row % 2] += 150
        found.append((pixels, 1 + row % 2, (top, left)))
    return found


def segmentation(folder: Path, seed: int) -> list[str]:
    for part, rows in parts_of(squares(0), seed).items():
        for number, (pixels, kind, (top, left)) in enumerate(rows):
            mask = np.zeros((16, 16), np.uint8)
            mask[top : top + 7, left : left + 7] = kind
            for name, image in (("images", pixels), ("masks", mask)):
                file = folder / "shapes" / name / part / f"{number:02}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(file)
    return [
        *("dataset=image_masks", f"dataset.path='{folder / 'shapes'}'", "dataset.classes=[none,one,two]"),
        *("model=unet", "model.channels=[4,8]", "cv=predefined"),
    ]


def detection(folder: Path, seed: int) -> list[str]:
    place = folder / "boxes"
    names = [{"id": 1, "name": "green"}, {"id": 2, "name": "blue"}]
    for part, rows in parts_of(list(enumerate(squares(0))), seed).items():
        (place / part).mkdir(parents=True, exist_ok=True)
        images, boxes = [], []
        for number, (pixels, kind, (top, left)) in rows:
            Image.fromarray(pixels).save(place / part / f"{number:02}.png")
            images.append({"id": number, "file_name": f"{number:02}.png", "height": 16, "width": 16})
            boxes.append({"id": number, "image_id": number, "category_id": kind, "bbox": [left, top, 7, 7]})
        document = {"images": images, "annotations": boxes, "categories": names}
        (place / part / "boxes.json").write_text(json.dumps(document))
    return [
        *("dataset=detection", f"dataset.path='{place}'", "model=centernet", "model.backbone=resnet10t"),
        *("model.weights=null", "model.arguments={channels:[4,8,8,8]}", "model.width=8", "model.stride=4"),
        *("model.detections=4", "cv=predefined"),
    ]


def tagging(folder: Path, seed: int) -> list[str]:
    draw, rows = random.Random(0), []
    for _ in range(sum(PARTS.values())):
        words = [(draw.choice(PEOPLE), "B-PER"), ("lives", "O"), ("in", "O"), (draw.choice(PLACES), "B-LOC")]
        rows.append(
            words + [(word, "O") for word in draw.choices(["the", "sun", "is"], k=draw.randint(0, 4))]
        )
    for part, own in parts_of(rows, seed).items():
        text = "\n".join("".join(f"{word} {tag}\n" for word, tag in row) for row in own)
        (folder / f"{part}.conll").write_text(text)
    files = [f"dataset.{key}='{folder / name}.conll'" for key, name in FILES.items()]
    return ["dataset=tags", *files, "model=bilstm", "model.hidden=8", "model.dropout=0"]


FILES = {"path": "train", "val_path": "val", "test_path": "test"}


def answers(folder: Path, seed: int) -> list[str]:
    draw, rows = random.Random(0), []
    for number in range(sum(PARTS.values())):
        who, where = draw.sample(PEOPLE, 2), draw.sample(PLACES, 2)
        context = " ".join(f"{person} lives in {place} ." for person, place in zip(who, where, strict=True))
        answer = {"text": where[1], "answer_start": context.rindex(where[1])}
        asked = {"id": str(number), "question": f"Where does {who[1]} live ?", "answers": [answer]}
        rows.append({"title": f"A{number}", "paragraphs": [{"context": context, "qas": [asked]}]})
    for part, own in parts_of(rows, seed).items():
        (folder / f"{part}.json").write_text(json.dumps({"version": "1.1", "data": own}))
    if not (folder / "bert").exists():
        # Random masks would depend on the places of rows.
        save_tiny_bert(folder / "bert", WORDS, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    files = [f"dataset.{key}='{folder / name}.json'" for key, name in FILES.items()]
    return [
        *("dataset=squad", *files, f"model.name='{folder}/bert'", "model.dropout=0"),
        *("preprocessing.max_length=24", "preprocessing.stride=5"),
    ]


def translation(folder: Path, seed: int) -> list[str]:
    rows = [
        (de, en, part)
        for part, own in parts_of(sentences(sum(PARTS.values())), seed).items()
        for de, en in own
    ]
    random.Random(seed).shuffle(rows)
    lines = ["de\ten\tpart", *("\t".join(row) for row in rows)]
    (folder / "pairs.tsv").write_text("".join(f"{line}\n" for line in lines))
    return [
        *(
            "dataset=pairs",
            f"dataset.path='{folder / 'pairs.tsv'}'",
            "dataset.source=de",
            "dataset.target=en",
        ),
        *("dataset.split=part", "preprocessing.vocab_size=300", "task.beam=2", "cv=predefined"),
        *("model=seq2seq_rnn", "model.hidden=8", "model.embedding=8", "model.dropout=0"),
    ]


def language(folder: Path, seed: int) -> list[str]:
    draw = random.Random(0)
    rows = [" ".join(draw.choices(WORDS[:12], k=draw.randint(2, 6))) for _ in range(sum(PARTS.values()))]
    (folder / "story").mkdir(exist_ok=True)
    for part, own in parts_of(rows, seed).items():
        (folder / "story" / f"{part}.txt").write_text("".join(f"{line}\n" for line in own))
    return [
        *("dataset=language", f"dataset.path='{folder / 'story'}'", "dataset.rows=lines", "dataset.block=40"),
        *("model.hidden=8", "model.layers=1", "model.heads=2", "model.dropout=0"),
    ]


def masked_language(folder: Path, seed: int) -> list[str]:
    words = [word for word in language(folder, seed) if not word.startswith("model.")]
    if not (folder / "masked").exists():
        fixed = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        save_tiny_bert(folder / "masked", ["[MASK]", *WORDS], "BertForMaskedLM", **fixed)
    return [
        *(*words, "task=masked_language_model", "model=pretrained_text", f"model.name='{folder}/masked'"),
        "model.dropout=0",
    ]


def speech(folder: Path, seed: int) -> list[str]:
    rows = [
        (f"{number}.wav", ("low", "high", "low high")[number % 3]) for number in range(sum(PARTS.values()))
    ]
    place = folder / "said"
    for number, (name, text) in enumerate(rows):
        pitches = [{"low": 400, "high": 1200}[word] for word in text.split()]
        waves = [tone(pitch, seconds=0.15 + 0.01 * (number % 4), seed=number) for pitch in pitches]
        write_wav(place / name, np.concatenate(waves))
    parts = parts_of(rows, seed)
    lines = [(name, text, part) for part, own in parts.items() for name, text in own]
    random.Random(seed).shuffle(lines)
    (place / "said.csv").write_text(
        "".join(",".join(line) + "\n" for line in [("file", "text", "part"), *lines])
    )
    return [
        *(
            "dataset=speech",
            f"dataset.path='{place / 'said.csv'}'",
            "dataset.text=text",
            "dataset.audio=file",
        ),
        *("dataset.split=part", "task.units=words", "preprocessing.n_mels=8", "preprocessing.hop_length=80"),
        *("model.channels=[4]", "model.hidden=6", "model.dropout=0", "cv=predefined"),
    ]


def generation(folder: Path, seed: int) -> list[str]:
    for part, rows in parts_of(squares(0), seed).items():
        for number, (pixels, kind, _) in enumerate(rows):
            file = folder / "made" / part / str(kind) / f"{number:02}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
    return [
        *("dataset=image_folder", f"dataset.path='{folder / 'made'}'", "task=generate", "model=diffusion"),
        *("model.channels=[4,8]", "model.steps=2", "cv=predefined"),
    ]


KINDS: dict[str, Callable[[Path, int], list[str]]] = {
    "segmentation": segmentation,
    "detection": detection,
    "tag": tagging,
    "answer_span": answers,
    "seq2seq": translation,
    "language_model": language,
    "masked_language_model": masked_language,
    "ctc": speech,
    "generate": generation,
}


def words_of(kind: str, folder: Path, seed: int = 0, *more: Any) -> list[str]:
    """Write the rows of a kind in the order of a seed; return the words that train on all of them at once."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        *KINDS[kind](folder, seed), "dataset.batch_size=64", "optimizer=sgd", "optimizer.lr=0.1",
        "trainer.accelerator=cpu",
        "trainer.max_epochs=2", "callbacks=none", "tracking.system_metrics=false", f"runs_dir='{folder / 'runs'}'",
        *more,
    ]  # fmt: skip
