"""The parts of the OpenAPI document that depend on the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dlcli.serving.bodies import CSV, FILES, FORM, JSON, JSON_LINES, TEXT
from dlcli.serving.contract import Contract

_TYPES = {"numeric": ["number", "string", "null"], "boolean": ["boolean", "string", "null"]}
_MOST = 100  # maximum number of categories that are listed

_STRING = {"type": "string"}
_FILE = {"type": "string", "format": "binary"}


def request_body(contract: Contract) -> dict[str, Any]:
    """Return the schema of the bodies that `/predict` accepts."""
    if (files := FILES.get(contract.schema["kind"])) is not None:
        form = {"type": "object", "properties": {"file": {"type": "array", "items": _FILE}}}
        return {"required": True, "content": {FORM: {"schema": form}, files: {"schema": _FILE}}}
    columns = contract.schema["columns"]
    row = {
        "type": "object",
        "required": [column["name"] for column in columns if column["role"] in ("feature", "text")],
        "properties": {column["name"]: _property(column) for column in columns},
    }
    rows: dict[str, Any] = {"schema": {"type": "array", "items": row}}
    if contract.example is not None:
        rows["example"] = json.loads(contract.example.content)
    content = {JSON: rows, JSON_LINES: {"schema": _STRING}}
    if CSV in contract.schema["accepts"]:
        content[CSV] = {"schema": _STRING}
    if TEXT in contract.schema["accepts"]:
        content[TEXT] = {"schema": {**_STRING, "description": "One text per line."}}
    return {"required": True, "content": content}


def answer_schema(contract: Contract) -> dict[int | str, dict[str, Any]]:
    """Return the schemas of the answers of `/predict`, by status."""
    line: dict[str, Any] = {"type": "object"}
    if names := contract.schema.get("answers"):
        line["properties"] = {name: {} for name in names}
    answer = {
        "type": "object",
        "properties": {
            "status": _STRING,
            "run_id": _STRING,
            "run_name": _STRING,
            "predictions": {"type": "array", "items": line},
            "notices": {
                "type": "array",
                "items": _object(
                    key=_STRING, count={"type": "number"}, text=_STRING, warns={"type": "boolean"}
                ),
            },
        },
    }
    integer = {"type": "integer"}
    problem = _object(message=_STRING, where=_STRING, hint=_STRING, column=_STRING, row=integer, line=integer)
    error = {"type": "object", "properties": {"errors": {"type": "array", "items": problem}}}
    words = {
        401: "The token is missing or wrong",
        403: "The request comes from the page of another server, or names another host",
        408: "The body did not arrive in time",
        413: "Too many bytes, rows or pixels",
        415: "A type of body that this model does not read",
        422: "A row is not valid for the model: its column, row and the reason",
        500: "The model fails on these rows",
        503: "Too many requests are waiting, or there was no response in time: send it again",
    }
    found: dict[int | str, dict[str, Any]] = {
        200: {"description": "The predictions", "content": {JSON: {"schema": answer}}}
    }
    return found | {
        status: {"description": text, "content": {JSON: {"schema": error}}} for status, text in words.items()
    }


def _object(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _property(column: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"type": _TYPES.get(column["type"], ["string", "null"])}
    parts = [column["role"], column["type"], column.get("format", "")]
    if names := column.get("categories"):
        shown = ", ".join(names[:_MOST]) + (", ..." if len(names) > _MOST else "")
        parts.append(f"known in training: {shown}")
    return {**found, "description": "; ".join(filter(None, parts))}
