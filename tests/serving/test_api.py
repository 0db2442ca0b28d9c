"""The responses of the application."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from scipy.io import wavfile

import dlcli
from dlcli.datasets.reading.number_formats import NumberFormat
from dlcli.errors import CorruptRun, DataError
from dlcli.inference.example import number_text
from dlcli.inference.saved_model import SavedModel
from dlcli.serving.api import Service
from dlcli.serving.bodies import Body, read_body
from dlcli.serving.model_worker import ModelWorker
from tests.serving.asking import Asked, Got, ask, rows
from tests.tones import tone

Serve = Callable[..., Service]

PET = {"size": "5,1", "coat": "long", "tame": "true", "born": "31.12.2021"}


@pytest.fixture(scope="module")
def pets(serve: Serve) -> Service:
    return serve("pets")


def csv(content: str | bytes, kind: str = "text/csv") -> Asked:
    content = content if isinstance(content, bytes) else content.encode()
    return Asked("POST", "/predict", content, {"Content-Type": kind})


def form(*files: tuple[str, bytes], kind: str = "image/png") -> Asked:
    parts = b"".join(
        f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: {kind}\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in files
    )
    return Asked(
        "POST", "/predict", parts + b"--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}
    )


def only_error(got: Got) -> dict[str, Any]:
    (error,) = got.json()["errors"]
    return error


def test_rows_are_read_as_predict_reads_a_file(
    pets: Service, trained: Callable[[str], Path], tmp_path: Path
) -> None:
    """Numbers with a comma, dates with days first and words of booleans are those of the training file."""
    table = pd.read_csv(trained("pets").parents[3] / "pets.csv", sep=";", dtype=str).drop(columns="kind")
    table.to_csv("new.csv", sep=";", index=False)
    expected = dlcli.predict(trained("pets"), "new.csv")
    assert expected is not None
    sent = [
        {name: value for name, value in row.items() if value == value} for row in table.to_dict("records")
    ]
    as_json, as_csv, as_lines, as_pandas = ask(
        pets,
        rows(sent),
        csv(Path("new.csv").read_bytes()),
        csv("\n".join(map(json.dumps, sent)), "application/x-ndjson"),
        rows(table.to_dict("records")),  # with NaN for a missing value
    )
    for got in (as_json, as_csv, as_lines, as_pandas):
        assert got.status == 200, got.content
        found = pd.DataFrame(got.json()["predictions"])
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-5)
    assert [notice["key"] for notice in as_json.json()["notices"]] == ["absent_values"]
    assert as_json.json()["notices"][0]["text"] == "1 of 60 rows lack size: read as missing"


def test_requests_at_the_same_time_get_their_own_answers(pets: Service) -> None:
    """Rows with and without gaps and unknown categories, and mistakes, are predicted or refused each by itself."""
    sent = [{**PET, "size": f"{size},5", "tame": tame} for size in range(8) for tame in ("true", None)]
    alone = [ask(pets, rows(one))[0].json() for one in sent]
    requests = [rows(one) for one in sent]
    requests[3] = rows({**PET, "size": "wide"})
    requests[5] = rows({**PET, "coat": "blue"})
    together = [got.json() for got in ask(pets, *requests)]
    for number, (one, other) in enumerate(zip(alone, together, strict=True)):
        if number not in (3, 5):
            assert one["predictions"][0]["prediction"] == other["predictions"][0]["prediction"]
            assert one["predictions"][0]["p(dog)"] == pytest.approx(
                other["predictions"][0]["p(dog)"], rel=1e-5
            )
            assert other["notices"] == []
    assert together[3]["errors"][0]["column"] == "size"
    assert [notice["key"] for notice in together[5]["notices"]] == ["unseen_categories"]


@pytest.mark.parametrize(
    ("sent", "status", "expected"),
    [
        pytest.param(rows([PET, {**PET, "size": "wide"}]), 422, {"row": 1, "column": "size"}, id="number"),
        pytest.param(rows({**PET, "born": "2021"}), 422, {"row": 0, "column": "born"}, id="date"),
        pytest.param(rows({**PET, "tame": "maybe"}), 422, {"row": 0, "column": "tame"}, id="boolean"),
        pytest.param(csv("size;coat;tame;born\n5,1;long;true;31.12.2021\nx;long;true;31.12.2021\n"), 422,
                     {"line": 3, "column": "size"}, id="line"),
        pytest.param(csv("size;coat;tame;born\nx;long;true;31.12.2021\n", "Application/CSV"), 422,
                     {"line": 2, "column": "size"}, id="line of another type"),
        pytest.param(form(("a", json.dumps([PET, {**PET, "size": "x"}]).encode()), kind="application/json"), 422,
                     {"row": 1, "column": "size"}, id="row in a form"),
        pytest.param(rows({"size": "1", "coat": "long", "tame": "true"}), 422,
                     {"message": "there is no column born", "column": "born"}, id="missing column"),
        pytest.param(rows([]), 422, {"message": "is empty"}, id="no rows"),
        pytest.param(rows([1]), 422, {"message": "is not an object", "row": 0}, id="no object"),
        pytest.param(rows({"tall": "1"}), 422, {"column": "size"}, id="missing columns"),
        pytest.param(csv("[NaN]", "application/json"), 422, {"row": 0}, id="nan"),
        pytest.param(csv('[{"size": "1"}, {"size": 1e999}]', "application/json"), 422,
                     {"row": 1, "column": "size", "hint": "Send null for a missing value."}, id="infinite"),
        pytest.param(csv("[" * 3_900, "application/json"), 422, {}, id="nested"),
        pytest.param(csv('{"a":' * 600 + "1" + "}" * 600, "application/json"), 422,
                     {"message": "is nested too deeply"}, id="nested objects"),
        pytest.param(csv("{", "application/json"), 422, {}, id="no json"),
        pytest.param(csv(b"\xff\xfe", "application/json"), 422, {}, id="no utf-8"),
        pytest.param(csv("[1]", "text/csv"), 422, {}, id="another type than said"),
        pytest.param(csv("", "text/csv"), 422, {"message": "is empty"}, id="nothing"),
        pytest.param(csv("x", "application/xml"), 415, {"where": "Content-Type"}, id="type"),
        pytest.param(form(("a.png", b"x")), 415, {}, id="image for a table"),
        pytest.param(rows([PET] * 21), 413, {"message": "has more than 20 rows"}, id="rows"),
        pytest.param(rows("x" * 5000), 413, {"message": "the body is too large"}, id="bytes"),
        pytest.param(Asked("POST", "/predict", [b"x" * 3000] * 3), 413,
                     {"message": "the body is too large"}, id="bytes without a length"),
        pytest.param(Asked("POST", "/predict", [b"x", None]), 400, {}, id="a client that goes away"),
        pytest.param(Asked("POST", "/predict", []), 408, {}, id="a body that does not arrive"),
        pytest.param(form(("a", b"x"), kind="multipart/form-data; boundary=y"), 422,
                     {"message": "the form has a form in it"}, id="form in a form"),
        pytest.param(csv("x", "multipart/form-data"), 422, {"message": "the form has no boundary"}, id="boundary"),
        pytest.param(csv("x", "multipart/form-data; boundary=b"), 422, {"message": "the form is cut off"}, id="form"),
        pytest.param(Asked("GET", "/predict"), 405, {}, id="method"),
        pytest.param(Asked("GET", "/model"), 404, {}, id="path"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_its_place(
    sent: Asked, status: int, expected: dict[str, Any], serve: Serve, request: pytest.FixtureRequest
) -> None:
    slow = request.node.callspec.id.endswith("does not arrive")
    service = serve("pets", bytes=4000, rows=20, seconds=0.01 if slow else 30.0)
    (got,) = ask(service, sent)
    assert got.status == status, got.content
    if status == 400:
        assert service.held == 0
        return
    assert expected.items() <= only_error(got).items()
    assert got.json()["status"] == "ERROR"
    assert service.held == 0
    service.worker.close()


def test_the_client_is_checked_first(pets: Service, serve: Serve) -> None:
    """A page of another server may neither read answers under a name of its own nor send requests."""
    cases: list[tuple[dict[str, str], int]] = [
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "127.0.0.2:8000"}, 200),
        ({"Host": "192.168.0.1:8000"}, 403),
        ({"Host": "rebound.example"}, 403),
        ({"Host": "127.0.0.1.example"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://127.0.0.1:8000"}, 200),
        ({"Origin": "http://127.0.0.1:9000"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ]
    found = ask(pets, *(rows(PET, **headers) for headers, _ in cases))
    assert [got.status for got in found] == [status for _, status in cases]
    (page,) = ask(pets, Asked(headers={"Sec-Fetch-Site": "cross-site"}))
    assert page.status == 200  # a link to it
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_a_token_is_asked_for(serve: Serve) -> None:
    service = serve("pets", token="0123456789abcdef", only_local=False)
    right = {"Authorization": "Bearer 0123456789abcdef", "Host": "models.example"}
    wrong = [{}, {"Authorization": "Bearer 0123456789abcde"}, {"Authorization": "Basic 0123456789abcdef"}]
    wrong.append({"Authorization": "Bearer \xe4"})
    statuses = [got.status for got in ask(service, *(rows(PET, **one) for one in (right, *wrong)))]
    assert statuses == [200, 401, 401, 401, 401]
    paths = ["/schema", "/openapi.json", "/example", "/", "/docs", "/health", "/assets/page.js"]
    assert [got.status for got in ask(service, *(Asked(path=path) for path in paths))] == [401] * 3 + [
        200
    ] * 4
    service.worker.close()


def test_no_more_requests_wait_than_may(serve: Serve) -> None:
    service = serve("pets", queue=2)
    service.worker._queue.maxsize = 0
    held = [service.worker.submit(None) for _ in range(2)]  # keep the worker busy with what fails
    service.worker._queue.maxsize = 2
    found = ask(service, *(rows(PET) for _ in range(40)))
    assert {got.status for got in found} <= {200, 503}
    busy = [got for got in found if got.status == 503]
    assert busy and all(got.headers["retry-after"] == "1" for got in busy)
    assert all(future.exception() is not None for future in held)
    service.worker.close()


def test_a_failing_model_is_reported_in_a_line_and_its_body_is_kept_until_then(
    pets: Service, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(bodies: Sequence[Body]) -> list[Any]:
        raise RuntimeError("no\nsuch layer")

    service = replace(pets, worker=ModelWorker(fail, 2))
    (got,) = ask(service, rows(PET))
    assert (got.status, service.held) == (500, 0)
    (record,) = caplog.records
    assert record.getMessage() == "A request fails: RuntimeError: no. DLCLI_DEBUG=1 shows the traceback."
    assert record.exc_info is None
    service.worker.close()
    leave = threading.Event()
    service.worker = ModelWorker(lambda bodies: [leave.wait() and None for _ in bodies], 2)
    service.limits = replace(service.limits, seconds=0.01)
    (late,) = ask(service, rows(PET))
    assert late.status == 503
    assert service.held == len(json.dumps(PET))  # the model still runs on it
    leave.set()
    service.worker.close()


def test_bodies_that_are_compressed_or_find_no_memory_are_refused(serve: Serve) -> None:
    service = serve("pets", held=10)
    packed, full = ask(service, rows(PET, **{"Content-Encoding": "gzip"}), rows(PET))
    assert (packed.status, full.status, full.headers["retry-after"]) == (415, 503, "1")
    assert service.held == 0
    service.worker.close()


def test_a_server_that_ends_is_reported(serve: Serve) -> None:
    service = serve("pets")
    service.draining = True
    health, answer, head = ask(service, Asked(path="/health"), rows(PET), Asked("HEAD", "/health"))
    assert head.status == 503
    assert (health.status, health.json()["status"]) == (503, "draining")
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    service.worker.close()


def test_the_contract_names_columns_and_formats(pets: Service) -> None:
    (got,) = ask(pets, Asked(path="/schema"))
    found = {column["name"]: column for column in got.json()["columns"]}
    assert list(found) == ["size", "coat", "tame", "born"]
    assert found["size"] == {"name": "size", "role": "feature", "type": "numeric", "format": "1234,5"}
    assert sorted(found["coat"]["categories"]) == ["<b>&amp;", "long", "short"]
    assert found["tame"]["words"] == ["false", "true"]
    assert found["born"]["pattern"] == "%d.%m.%Y"
    assert got.json()["answers"] == ["row", "prediction", "p(<i>cat)", "p(dog)"]


def test_the_pages_need_nothing_from_elsewhere(pets: Service) -> None:
    paths = ["/", "/docs", "/assets/page.js", "/assets/docs.js", "/assets/page.css"]
    for got in ask(pets, *(Asked(path=path) for path in paths)):
        text = got.content.decode()
        assert got.status == 200
        assert "http://" not in text and "https://" not in text and "innerHTML" not in text
    (got,) = ask(pets, Asked(path="/openapi.json"))
    document = got.json()
    assert document["openapi"].startswith("3.1")
    post = document["paths"]["/predict"]["post"]
    assert set(post["requestBody"]["content"]) == {"application/json", "text/csv", "application/x-ndjson"}
    assert {"200", "413", "422", "503"} <= set(post["responses"])


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("weights", ["row", "prediction", "q0.1", "q0.5", "q0.9"]),
        ("labels", ["row", "prediction(red)", "p(red)", "prediction(big)", "p(big)"]),
        ("texts", ["row", "prediction", "p(down)", "p(up)"]),
        ("images", ["file", "prediction", "p(dark)", "p(light)"]),
        ("series", ["row", "step", "prediction"]),
    ],
)
def test_every_kind_of_data_has_an_example(name: str, answers: list[str], serve: Serve) -> None:
    service = serve(name)
    assert service.contract.example is not None
    example, schema, openapi = ask(
        service, *(Asked(path=path) for path in ("/example", "/schema", "/openapi.json"))
    )
    (got,) = ask(service, csv(example.content, example.headers["content-type"]))
    assert got.status == 200, got.content
    assert list(got.json()["predictions"][0]) == answers == schema.json()["answers"]
    assert openapi.status == 200
    service.worker.close()


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (NumberFormat(",", "."), "1234,5"),
        (NumberFormat(unit="kg"), "1234.5 kg"),
        (NumberFormat(unit="%"), "1234.5%"),
    ],
    ids=["comma", "unit", "sign"],
)
def test_a_usual_number_is_written_as_the_column_is(form: NumberFormat, text: str) -> None:
    assert number_text(1234.5, form) == text
    assert form.parse(pa.array([text])).to_pylist() == [1234.5]


def test_the_page_reads_the_example_as_it_is_meant(pets: Service) -> None:
    """The fields of the form hold the values as text."""
    (example,) = ask(pets, Asked(path="/example"))
    (row,) = example.json()
    texts = {name: str(value).lower() if value is True else str(value) for name, value in row.items()}
    meant, typed = ask(pets, rows(row), rows(texts))
    assert meant.status == typed.status == 200
    assert meant.json()["predictions"] == typed.json()["predictions"]


def test_a_model_that_fails_is_not_served_and_a_refused_example_is_reported(
    serve: Serve, trained: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(SavedModel, "outputs_and_predictions", fail)
    error: Exception = RuntimeError("no such layer")
    with pytest.raises(CorruptRun, match="no such layer"):
        serve("labels")
    error = DataError("must be prime")
    service = serve("labels")
    assert service.contract.example is None
    assert "must be prime" in service.contract.note
    service.worker.close()


def test_texts_alone_are_rows(serve: Serve) -> None:
    service = serve("texts")
    several, one, lines = ask(
        service, rows(["a good film", "bad"]), rows("bad"), csv("a good film\nbad\n", "text/plain")
    )
    assert len(several.json()["predictions"]) == 2
    assert several.json()["predictions"] == lines.json()["predictions"]
    assert one.json()["predictions"][0]["p(up)"] == pytest.approx(
        several.json()["predictions"][1]["p(up)"], rel=1e-5
    )
    service.worker.close()


def test_recordings_are_files_of_a_form_or_a_body(serve: Serve) -> None:
    service = serve("tones")
    written = io.BytesIO()
    wavfile.write(written, 8000, tone(400, rate=8000))
    both, alone, damaged, schema = ask(
        service,
        form(("a.wav", written.getvalue()), ("b.wav", written.getvalue()), kind="audio/wav"),
        csv(written.getvalue(), "audio/x-wav"),
        csv(b"RIFF", "audio/wav"),
        Asked(path="/schema"),
    )
    first, second = both.json()["predictions"]
    assert first["p(low)"] == second["p(low)"]
    assert alone.json()["predictions"][0]["p(low)"] == pytest.approx(first["p(low)"], abs=1e-5)
    assert alone.json()["notices"][0]["key"] == "resampled_recordings"
    assert "cannot be decoded" in only_error(damaged)["message"]
    assert schema.json()["audio"]["sample_rate"] == 4000
    assert schema.json()["accepts"] == ["multipart/form-data", "audio/*"]


def test_images_are_files_of_a_form_or_a_body(serve: Serve) -> None:
    service = serve("images", pixels=100_000)

    def png(shade: int, size: tuple[int, int] = (8, 8)) -> bytes:
        written = io.BytesIO()
        Image.fromarray(np.full((*size, 3), shade, np.uint8)).save(written, "PNG")
        return written.getvalue()

    postscript = io.BytesIO()
    Image.new("RGB", (8, 8)).save(postscript, "EPS")
    both, alone, damaged, large, program, many, empty = ask(
        service,
        form(("../../Käse.png", png(20)), ("b.png", png(200))),
        csv(png(200), "image/png"),
        form(("12:30.png", png(3)[:40])),
        form(("d.png", png(3, (400, 400)))),
        form(("e.png", postscript.getvalue())),
        form(*((f"{number}.png", png(3, (300, 300))) for number in range(5))),
        Asked("POST", "/predict", b"--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}),
    )
    assert [line["file"] for line in both.json()["predictions"]] == ["Käse.png", "b.png"]
    assert alone.json()["predictions"][0]["p(light)"] == pytest.approx(
        both.json()["predictions"][1]["p(light)"], rel=1e-5
    )
    assert (damaged.status, only_error(damaged)["where"]) == (422, "12:30.png")
    assert "line" not in only_error(damaged) and "row" not in only_error(damaged)
    assert (large.status, only_error(large)["message"]) == (413, "has more than 100,000 pixels")
    assert (program.status, only_error(program)["message"]) == (
        422,
        "is not an image",
    )  # Pillow would run Ghostscript
    assert (many.status, only_error(many)["message"]) == (
        413,
        "the images have more than 400,000 pixels together",
    )
    assert only_error(empty)["message"] == "the form has no file"
    service.worker.close()


def test_a_neighbour_gives_no_columns_to_a_request(serve: Serve) -> None:
    """Of requests in one batch, each is read as if it were alone, and one that the model refuses is refused alone."""
    service = serve("labels")  # numbers
    several, lacks, huge, good = service.worker._answer(
        [
            Body(json.dumps(document).encode(), "application/json")
            for document in ([{"b": 1}, {"a": 2, "b": 3}], {"b": 5}, {"a": 1e40}, {"a": 5})
        ]
    )
    assert [notice.key for notice in several.notices] == ["absent_values", "empty_rows"]
    assert "there is no column a" in str(lacks)
    assert isinstance(huge, Exception)
    assert len(good.predictions) == 1
    service.worker.close()


def test_rows_with_keys_of_their_own_are_refused_before_they_become_columns(serve: Serve) -> None:
    service = serve("labels")
    sparse = [{f"k{number}": 1} for number in range(5000)]
    nested = [{"a": 1, "more": [{f"k{number}": 1}]} for number in range(5000)]
    lines = "\n".join(map(json.dumps, sparse))
    for got in ask(service, rows(sparse), rows(nested), csv(lines, "application/x-ndjson")):
        assert got.status == 413
        assert "different keys in 5,000 rows" in only_error(got)["message"]
    wide, table, few = ask(
        service,
        rows({f"k{number}": 1 for number in range(70_000)}),
        csv("\na" + ",b" * 70_000 + "\n1" + ",2" * 70_000),
        rows([{"a": 1}, {"a": 2, "b": 3}]),
    )
    assert (wide.status, table.status, few.status) == (413, 413, 200)
    assert only_error(table)["message"] == "has 70,000 columns"
    service.worker.close()


def test_the_content_type_decides_whether_texts_are_a_table(serve: Serve) -> None:
    """A first line that names the column is a header of CSV, and a text of text/plain; so is one with a brace."""
    service = serve("texts")
    other, lines, table = ask(
        service,
        csv("comment\na good film\n", "text/csv"),
        csv("review\n{a good film\n", "text/plain"),
        csv("review\na good film\n", "text/csv"),
    )
    assert other.status == 422 and "there is no column review" in only_error(other)["message"]
    assert [len(got.json()["predictions"]) for got in (lines, table)] == [2, 1]
    service.worker.close()
    # For a language model a table must be declared: its rows may be lines of JSON.
    assert read_body(Body(b'[{"text": "a"}]', "application/json"), "tokens", "text")[0].layout == "table"
