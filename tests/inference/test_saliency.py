"""Attributions of predictions to pixels and words: `dlcli explain`, its record, and `dlcli report`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.preprocessing.text import Text
from dlcli.preprocessing.text_statistics import STATISTICS
from dlcli.preprocessing.tfidf import Tfidf
from dlcli.preprocessing.token_places import TokenPlaces, by_word

pytest.importorskip("captum", reason="needs captum: pip install captum")

TEXTS = [
    "Good film, good fun!",
    "A bad film",
    "bad bad acting",
    "good acting",
    "ﬁne İstanbul 42",
    "好电影 film",
]


def test_words_have_the_sum_of_their_tokens() -> None:
    places = TokenPlaces("un fun", (5, 6, 7), (((0, 2),), ((3, 4), (4, 6)), ()))
    assert by_word(places, [1.0, 4.0, 9.0]) == [("un", 1.0), (" ", 0.0), ("fun", 4.0)]
    assert [word for word, _ in by_word(TokenPlaces("好电影 it's", (), ()), [])] == [
        *["好", "电", "影", " ", "it", "'", "s"]
    ]


@pytest.mark.parametrize("tokens", ["words", "characters", "bpe"])
def test_places_are_those_of_the_tokens_that_the_model_reads(tokens: str) -> None:
    fitted = Text(tokens, min_frequency=1, reads_text="whole", max_length=9).fit(TEXTS)  # type: ignore[arg-type]
    for text in TEXTS:
        found = fitted.token_places(text)
        assert list(found.numbers) == fitted.transform([text])["x"][:1][0].tolist()
        assert all(0 <= begin < end <= len(found.text) for one in found.places for begin, end in one)


def test_places_of_n_grams_are_their_words() -> None:
    fitted = Tfidf(min_df=1).fit(TEXTS)
    names = fitted.vocabulary()
    for text in TEXTS:
        found = fitted.token_places(text)
        assert set(found.numbers) == set(fitted.transform([text])["x"][:1][0].tolist())
        for number, places in zip(found.numbers, found.places, strict=True):
            assert " ".join(found.text[begin:end] for begin, end in places).lower() == names[number]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("salient")
    random = np.random.default_rng(0)
    filler = ["the", "film", "was", "seen", "on", "monday", "by", "us"]
    lines = ["text,mood"]
    for number in range(160):
        mood = ("superb", "dreadful")[number % 2]
        words = [*random.choice(filler, 5), mood]
        lines.append(f"{' '.join(random.permutation(words))},{('up', 'down')[number % 2]}")
    (folder / "films.csv").write_text("\n".join(lines))
    quick = ["trainer.accelerator=cpu", f"runs_dir='{folder}/runs'", "experiment_name=salient"]
    texts = ["dataset=text", f"dataset.path='{folder}/films.csv'", "dataset.target=mood", *quick]
    dlcli.train([*texts, "run_name=bag"])
    small = ["optimizer.lr=0.03", "trainer.max_epochs=20"]
    dlcli.train([*texts, "model=mlp", "model.embedding=8", "model.hidden=8", *small, "run_name=mean"])
    whole = ["model=textcnn", "model.embedding=8", "model.channels=8", "model.dropout=0"]
    dlcli.train([*texts, *whole, *small, "run_name=read"])
    images = [*quick, "trainer.max_epochs=1", "trainer.limit_train_batches=4"]
    dlcli.train([*images, "model=linear", "optimizer=adam", "run_name=flat"])
    dlcli.train([*images, "model=cnn", "model.channels=[4,4]", "run_name=seen"])
    return folder


@pytest.mark.parametrize("name", ["bag", "mean", "read"])
def test_the_words_that_decide_are_found(folder: Path, name: str) -> None:
    found = dlcli.explain(name, runs_dir=folder / "runs", examples=2)
    assert len(found.examples) >= 2
    for one in found.examples:
        strongest = max(one.words, key=lambda pair: abs(pair[1]))[0]
        assert strongest == ("superb" if "up" in one.prediction else "dreadful")
        whole = sum(value for _, value in (*one.words, *one.statistics))
        assert whole == pytest.approx(one.difference, abs=abs(one.gap) + 1e-3)
        assert [name for name, _ in one.statistics] == (list(STATISTICS) if name == "bag" else [])
        assert abs(one.gap) < 0.05 * abs(one.difference)


def test_linear_models_are_divided_exactly(folder: Path) -> None:
    found = dlcli.explain("flat", runs_dir=folder / "runs", examples=3)
    model = dlcli.load_run("flat", runs_dir=folder / "runs")
    weights = model.network.model.layers[1].weight.detach().reshape(10, 8, 8).numpy()  # type: ignore[union-attr,index]
    scale, mean = model.preprocessing.std_[0], model.preprocessing.mean_[0]  # type: ignore[attr-defined]
    for one in found.examples:
        raw = np.rint(load_digits().images[one.row] / 16 * 255) / 255
        expected = weights[int(one.output)] * (raw - mean) / scale
        assert one.pixels is not None
        np.testing.assert_allclose(one.pixels, expected, atol=2e-3 * np.abs(expected).max() + 1e-4)
        assert one.regions is None
    assert "Grad-CAM needs a convolutional network" in " ".join(found.messages)


def test_regions_of_a_convolutional_network_and_the_picture(folder: Path) -> None:
    found = dlcli.explain("seen", runs_dir=folder / "runs", examples=2)
    assert [one.which for one in found.examples] == ["worst", "worst", "typical", "typical"]
    for one in found.examples:
        assert one.regions is not None
        assert one.regions.shape == (8, 8)
        assert one.regions.min() >= 0
        assert one.regions.max() == pytest.approx(1, abs=1e-5) or not one.regions.any()
        assert one.which == "typical" or one.target != one.output
    assert [file.name for file in found.files] == ["saliency.png", "explanation.json"]
    page = dlcli.report("seen", runs_dir=folder / "runs").text
    assert "Pixels that predictions depend on" in page


def test_the_report_colours_words_and_escapes_untrusted_texts(folder: Path) -> None:
    runs = ["--runs-dir", str(folder / "runs")]
    shown = CliRunner().invoke(app, ["explain", "bag", "--examples", "2", *runs])
    assert shown.exit_code == 0, shown.output
    assert "words that raise it" in shown.output
    answer = CliRunner().invoke(app, ["explain", "bag", "--examples", "1", "--json", *runs])
    document = json.loads(answer.stdout)
    assert document["examples"][0]["words"]
    file = Path(document["files"][0])
    page = dlcli.report("bag", runs_dir=folder / "runs").text
    assert '<mark class="up" style="--share: 1.00">' in page
    kept = file.read_text()
    own = json.loads(kept)
    own["examples"][0]["words"] = [["<script>", 1.0], ["x", float("nan")]]
    own["of_results"] = "other"
    file.write_text(json.dumps(own))
    page = dlcli.report("bag", runs_dir=folder / "runs").text
    assert "<script>" not in page
    assert "run dlcli explain again" in page
    for wrong in ("[]", '{"rows": []}', "[" * 100_000, json.dumps({**own, "slices": [{"p": "x"}]})):
        file.write_text(wrong)
        assert "The explanation" in dlcli.report("bag", runs_dir=folder / "runs").text
    huge = [{"columns": ["a"], "drop": 1e308, "low": -1e308, "high": 1e308}]
    curve = {"column": "a", "values": ["1", "2"], "predictions": {"y": [-1e308, 1e308]}}
    words = {"column": "a", "values": ["u", "v"], "predictions": {"y": [-1e308, 1e308]}}
    far = {"column": "a", "values": ["-1e308", "1e308"], "predictions": {"y": [0, 1]}}
    for curves in ([{"column": "a", "values": [], "predictions": {}}], [curve, words, far]):
        file.write_text(json.dumps({**own, "importances": huge, "dependence": curves}))
        page = dlcli.report("bag", runs_dir=folder / "runs").text
        assert "run dlcli explain again" in page
        assert not re.search(r'="[^"]*\b(nan|inf)\b', page)
    file.write_text(json.dumps({**own, "of_rows": "validation rows"}))
    assert (
        "validation rows, on which the epoch was selected."
        in dlcli.report("bag", runs_dir=folder / "runs").text
    )
    file.unlink()
    file.symlink_to(folder / "films.csv")
    assert "superb" not in dlcli.report("bag", runs_dir=folder / "runs").text
    file.unlink()
    file.write_text(kept)


def test_without_captum_slices_are_found_and_the_package_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "dlcli.inference.saliency", raising=False)
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    found = dlcli.explain("bag", runs_dir=folder / "runs")
    assert found.examples == ()
    assert found.rows > 0
    assert "pip install captum" in " ".join(found.messages)


def test_several_runs_and_other_folders_are_not_written_to(folder: Path, tmp_path: Path) -> None:
    both = dlcli.explain("bag,mean", runs_dir=folder / "runs", examples=1)
    assert both.files == ()
    assert "not recorded: it is of several runs" in both.messages[-1]
    first = both.examples[0]
    assert len(first.statistics) == len(STATISTICS)
    assert sum(value for _, value in (*first.words, *first.statistics)) == pytest.approx(
        first.difference, abs=first.gap + 1e-3
    )
    (tmp_path / "saliency.png").write_text("another picture")
    plots = both.run_dir / "plots"
    plots.rename(tmp_path / "kept")
    plots.symlink_to(tmp_path)
    linked = dlcli.explain("bag", runs_dir=folder / "runs", examples=0)
    assert linked.files == ()
    assert re.search(r"not recorded: .*plots is a link", linked.messages[-1])
    assert (tmp_path / "saliency.png").read_text() == "another picture"
    plots.unlink()
    (tmp_path / "kept").rename(plots)
    other = dlcli.explain(both.run_dir, runs_dir=tmp_path / "runs", examples=0)
    assert other.files == ()
    assert "the runs folder in use" in other.messages[-1]
