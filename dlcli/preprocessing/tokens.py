"""Encoding of texts as token numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from dlcli.datasets.texts import Texts
from dlcli.preprocessing.ragged import Ragged


def encoded(texts: Texts, tokenizer: Tokenizer, unknown: int) -> dict[str, Any]:
    """Return `x`, a `Ragged` of tokens, and `lengths` `(N,)`, int64; a text without tokens becomes one `unknown`."""
    rows = [
        np.array(found.ids or [unknown], dtype=np.int64)
        for batch in texts.batches()
        for found in tokenizer.encode_batch(batch)
    ]
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    values = np.concatenate(rows) if rows else np.empty(0, np.int64)
    return {"x": Ragged(torch.from_numpy(values), lengths), "lengths": lengths}
