"""Generate text with a language model, a token at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dlcli.datasets.passages import LINE_FEED
from dlcli.errors import InputError
from dlcli.inference.saved_model import SavedModel
from dlcli.preprocessing.language import Language
from dlcli.training.loader import derive_seed


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn.

    Attributes:
        tokens: maximum number of generated tokens; a text that is a line ends with its end.
        temperature: logits are divided by it: below 1 likely tokens become more likely; 0 takes the most likely one.
        top_k: draw among this number of most likely tokens; None draws among all.
        seed: of the draws. Each sample has draws of its own, whatever the number of samples.
        samples: number of texts.
    """

    tokens: int = 500
    temperature: float = 1.0
    top_k: int | None = None
    seed: int = 0
    samples: int = 1

    def __post_init__(self) -> None:
        for name, least in (("tokens", 1), ("samples", 1), ("top_k", 1), ("temperature", 0), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and not least <= value < 2**31:
                flag = f"--{name.replace('_', '-')}"
                raise InputError(f"is {value}, but must be at least {least}", flag, f"Such as {flag} {least}")


@dataclass(frozen=True)
class Generated:
    """A generated text.

    Attributes:
        text: the prompt and what follows it.
        tokens: number of generated tokens.
    """

    text: str
    tokens: int


def continue_text(
    model: SavedModel,
    prompt: str,
    sampling: Sampling,
    device: torch.device | str = "cpu",
    *,
    cached: bool = True,
    listen: Callable[[int], None] = lambda _: None,
) -> list[Generated]:
    """Return texts that begin with a prompt.

    A model with a limited context sees the last tokens only: when its context is full, it goes on with the second half
    of it. States of earlier tokens (keys and values, or the state of a recurrent network) are kept; without `cached`
    they are computed anew for each token, to the same result but for rounding.

    Args:
        model: a language model.
        prompt: the beginning of the texts; may be empty.
        sampling: how tokens are drawn.
        device: device of the forward passes.
        cached: whether states are kept.
        listen: called with the number of tokens so far.

    Raises:
        InputError: the model is no language model.
    """
    language = language_of(model)
    network = model.network.to(device).eval().model
    begin = language.encode(chr(LINE_FEED))
    given = np.concatenate([begin, language.encode(prompt)])
    tokens = torch.from_numpy(given).to(device).expand(sampling.samples, -1)
    forward = _Forward(network, language.context_, cached)
    draws = [
        torch.Generator().manual_seed(derive_seed(sampling.seed, row)) for row in range(sampling.samples)
    ]
    never = torch.tensor(language.never(), device=device)
    ended = [False] * sampling.samples
    lengths = [0] * sampling.samples
    with torch.inference_mode():
        for number in range(sampling.tokens):
            logits = forward(tokens).float().index_fill(1, never, -torch.inf)
            chosen = _drawn(logits, sampling, draws)
            tokens = torch.cat([tokens, chosen.to(device).unsqueeze(1)], dim=1)
            for row, token in enumerate(chosen.tolist()):
                if not ended[row]:
                    lengths[row] += 1
                    ended[row] = language.are_documents_ and "\n" in language.decode([token])
            listen(number + 1)
            if all(ended):
                break
    found = []
    for row, length in zip(tokens[:, len(given) :].tolist(), lengths, strict=True):
        # Of subwords, those at the border of the prompt may be parts of one character.
        text = language.decode([*language.encode(prompt), *row[:length]])
        text = text if not language.are_documents_ else text.rstrip("\n")
        found.append(Generated(_with_prompt(text, prompt), length))
    return found


def language_of(model: SavedModel) -> Language:
    """Return the preprocessing of a language model.

    Raises:
        InputError: the model is no language model.
    """
    if isinstance(model.preprocessing, Language) and not getattr(model, "members", ()):
        return model.preprocessing
    raise InputError(
        f"continues a text, but the model's task is {model.task.describe()}",
        "--prompt",
        "Name a run of dataset=language.",
    )


def windows(length: int, context: int | None) -> int:
    """Return the position from which a model sees the tokens of a text of some length: 0 while all fit."""
    if context is None or length <= context:
        return 0
    half = max(1, context // 2)
    return -(-(length - context) // half) * half


class _Forward:
    """Returns the logits of the token after texts, which grow by one token from call to call."""

    def __init__(self, network: nn.Module, context: int, cached: bool) -> None:
        self._continued: Any = getattr(network, "continued", None)
        self._network: Any = network
        # A model that can continue without a limit has seen no longer texts in training, but carries its state on.
        self._limit: int | None = getattr(network, "context", None if self._continued else context)
        self._cached = cached and self._continued is not None
        self._state: Any = None
        self._begin = self._end = 0

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return the logits `(N, V)` after tokens `(N, T)`."""
        length = tokens.shape[1]
        begin = windows(length, self._limit)
        if not self._cached:
            return self._network(tokens[:, begin:])[:, -1]
        if self._state is None or begin != self._begin:
            self._state, self._begin, self._end = None, begin, begin
        logits, self._state = self._continued(tokens[:, self._end :], self._state)
        self._end = length
        return logits


def _drawn(logits: Tensor, sampling: Sampling, draws: Sequence[torch.Generator]) -> Tensor:
    """Return a token for each row of logits `(N, V)`, on the CPU."""
    if sampling.temperature == 0:
        return logits.argmax(dim=1).cpu()
    scaled = logits.cpu() / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < scaled.shape[1]:
        least = scaled.topk(sampling.top_k, dim=1).values[:, -1:]
        scaled = scaled.masked_fill(scaled < least, -torch.inf)
    shares = scaled.softmax(dim=1)
    rows = (torch.multinomial(row, 1, generator=draw) for row, draw in zip(shares, draws, strict=True))
    return torch.cat(list(rows))


def _with_prompt(text: str, prompt: str) -> str:
    """Return the text with the prompt as it was given: characters unknown to the model were replaced in the text."""
    return prompt + text[len(prompt) :] if len(text) >= len(prompt) else text


def unknown_in(model: SavedModel, prompt: str) -> Iterator[str]:
    """Yield the different characters of a prompt that the model does not know."""
    language = language_of(model)
    for character in dict.fromkeys(prompt):
        if not language.subwords_ and language.encode(character)[0] == 0:
            yield character
