"""Fill the masked words of a text with a saved masked language model."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dlcli.errors import InputError
from dlcli.inference.saved_model import SavedModel
from dlcli.preprocessing.pretrained_masked import PretrainedMasked
from dlcli.training.text_sampling import Sampling

# Number of tokens for each masked word.
_TOP = 5


@dataclass(frozen=True)
class Filling:
    """A token for a masked word.

    Attributes:
        mask: number of the masked word in the text, from 0.
        token: the token.
        probability: its probability.
        text: the text with the token in this place.
    """

    mask: int
    token: str
    probability: float
    text: str


def fills_masks(model: SavedModel) -> bool:
    """Return whether a model is a masked language model, rather than several of them."""
    return isinstance(model.preprocessing, PretrainedMasked) and not getattr(model, "members", ())


@torch.inference_mode()
def fill_masks(
    model: SavedModel, prompt: str, sampling: Sampling, device: torch.device | str
) -> list[Filling]:
    """Return the `top_k` most probable tokens for each masked word of a text, the most probable first.

    Raises:
        InputError: the text has no masked word or too many tokens, or `sampling` has settings of generated texts.
    """
    usual = Sampling(top_k=sampling.top_k)
    if asked := [name for name, value in vars(sampling).items() if value != getattr(usual, name)]:
        raise InputError(
            "is for texts that a language model continues, but this one fills masked words",
            f"--{asked[0]}",
            "Remove it. --top-k gives the number of tokens for each masked word.",
        )
    preprocessing = model.preprocessing
    assert isinstance(preprocessing, PretrainedMasked)
    tokens = preprocessing.of_prompt(prompt)
    places = [place for place, token in enumerate(tokens) if token == preprocessing.mask_]
    batch = {
        "x": torch.tensor([tokens], device=device),
        "lengths": torch.tensor([len(tokens)], device=device),
        "places": torch.tensor([places], device=device),
    }
    network = model.network.to(device).eval().model
    shares = network(**batch)[0].float().softmax(dim=1)
    best = shares.topk(min(sampling.top_k or _TOP, shares.shape[1]), dim=1)
    found = []
    for number, place in enumerate(places):
        for share, token in zip(best.values[number].tolist(), best.indices[number].tolist(), strict=True):
            before = [one for one in tokens[:place] if one != preprocessing.mask_][-1:]
            # The text of a token depends on the one before it, such as that of a part of a word.
            piece = preprocessing.decode([*before, token]).removeprefix(preprocessing.decode(before))
            text = _with_piece(prompt, preprocessing.mask_token, number, piece)
            found.append(Filling(number, preprocessing.name_of(token), share, text))
    return found


def _with_piece(prompt: str, mask: str, number: int, piece: str) -> str:
    """Return a prompt with a piece of text in place of one of its mask tokens."""
    parts = prompt.split(mask)
    left, right = mask.join(parts[: number + 1]), mask.join(parts[number + 1 :])
    continues = bool(left.strip()) and not piece[:1].isspace() and piece[:1].isalnum()
    return f"{left.rstrip() if continues else left}{piece.strip()}{right}"
