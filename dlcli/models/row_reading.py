"""How models read rows: texts as bags of tokens, as a whole, or their start; variables of series; spectrograms."""

from __future__ import annotations

import inspect
from typing import Any, Literal

# `bag`: the number of each token, in any order; `whole`: all tokens; `start`: as many as are needed, from the start.
ReadsText = Literal["bag", "whole", "start"]

# Maximum number of tokens of a text for models without `longest_text`.
LONGEST_TEXT = 1024


def text_facts(model: Any) -> dict[str, Any]:
    """Return `reads_text` and `longest_text` of a model's class, which preprocessing asks for by name."""
    reads: ReadsText = getattr(model, "reads_text", "start")
    longest = None if reads == "bag" else getattr(model, "longest_text", LONGEST_TEXT)
    return {"reads_text": reads, "longest_text": longest}


def series_facts(model: Any) -> dict[str, Any]:
    """Return `takes_variables`: whether a model's class treats the variables of a series in its own way.

    Other models see one variable at a time.
    """
    return {"takes_variables": bool(getattr(model, "takes_variables", False))}


def audio_facts(model: Any) -> dict[str, Any]:
    """Return `reads_audio`: whether a model's class reads spectrograms as sequences of any length, or as images."""
    inputs = inspect.signature(model.forward).parameters if hasattr(model, "forward") else ()
    of_sequences = "sequence" in getattr(model, "accepts", ()) and "lengths" in inputs
    return {"reads_audio": "sequence" if of_sequences else "image"}
