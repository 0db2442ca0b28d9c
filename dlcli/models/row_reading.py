"""Input forms of models: texts as bags of tokens, complete or truncated; variables of series; spectrograms."""

from __future__ import annotations

import inspect
from typing import Any, Literal

# `bag`: token counts; `whole`: all tokens; `start`: a limited number of tokens from the start.
ReadsText = Literal["bag", "whole", "start"]

# Maximum number of tokens of a text for models without `longest_text`.
LONGEST_TEXT = 1024


def text_facts(model: Any) -> dict[str, Any]:
    """Return `reads_text` and `longest_text` of a model's class, arguments of preprocessing classes."""
    reads: ReadsText = getattr(model, "reads_text", "start")
    longest = None if reads == "bag" else getattr(model, "longest_text", LONGEST_TEXT)
    return {"reads_text": reads, "longest_text": longest}


def series_facts(model: Any) -> dict[str, Any]:
    """Return `takes_variables`: whether a model's class processes all variables of a series together.

    Other models process one variable at a time.
    """
    return {"takes_variables": bool(getattr(model, "takes_variables", False))}


def audio_facts(model: Any) -> dict[str, Any]:
    """Return `reads_audio`: whether a model's class reads spectrograms as sequences of any length, or as images."""
    inputs = inspect.signature(model.forward).parameters if hasattr(model, "forward") else ()
    of_sequences = "sequence" in getattr(model, "accepts", ()) and "lengths" in inputs
    return {"reads_audio": "sequence" if of_sequences else "image"}
