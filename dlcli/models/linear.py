"""The linear model, a baseline for all networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dlcli.models.token_counts import TokenCounts, weighted_sums


class Linear(nn.Module):
    """Linear layer on the flattened row: logistic regression with cross-entropy, linear regression with MSE.

    Texts are bags of n-grams or tokens: each has a weight per output, and the weights of a row's tokens, times their
    counts or TF-IDF weights, are summed. Codes of categories also have a weight per output, as with one-hot encoding.
    All weights are initialized to 0, so that the result does not depend on the seed, and rare tokens have no influence
    rather than a random one.

    Args:
        input_shape: shape of one row, which is flattened.
        num_outputs: logits or values per row.
        cardinalities: number of codes of each categorical column.
        vocab_size: number of tokens; None if rows are not tokens.
    """

    accepts: ClassVar = {"table", "image", "sequence", "tokens", "audio"}
    is_linear: ClassVar = True  # required by optimizers that use all rows in each step
    reads_text: ClassVar = "bag"
    text_preprocessing: ClassVar = "tfidf"  # the choice of `preprocessing=auto` for texts
    # The weights are solved for a path of penalties: what can be searched is what n-grams they are of, and how these
    # are penalized.
    search_space_with: ClassVar[dict[tuple[str, ...], dict[str, str]]] = {
        ("Tfidf",): {
            "preprocessing.ngrams": "1,2,3",
            "preprocessing.characters": "auto,5",
            "preprocessing.min_df": "auto,2",
            "preprocessing.character_min_df": "1,2",
        },
        **{
            ("Tfidf", kind): {"optimizer.class_ratios": "null,0.25,0.75"}
            for kind in ("Binary", "Multiclass", "Multilabel")
        },
    }

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        cardinalities: Sequence[int] = (),
        vocab_size: int | None = None,
    ) -> None:
        super().__init__()
        self.categories = nn.ModuleList(
            nn.Embedding(codes, num_outputs, padding_idx=0) for codes in cardinalities
        )
        if vocab_size is None:
            self.layers: nn.Module = nn.Sequential(
                nn.Flatten(), nn.Linear(math.prod(input_shape), num_outputs)
            )
        else:
            self.layers = BagOfTokens(vocab_size, num_outputs)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
        self.register_load_state_dict_pre_hook(_without_vectors)

    def for_solving(self, batches: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return batches for repeated evaluation: tokens become one sparse matrix of counts, other rows are
        unchanged."""
        if not isinstance(self.layers, BagOfTokens) or not batches or "x_cat" in batches[0]:
            return list(batches)
        x = TokenCounts(batches, self.layers.weights.num_embeddings)
        return [{"x": x, "y": torch.cat([batch["y"] for batch in batches])}]

    def forward(self, x: Tensor, x_cat: Tensor | None = None, counts: Tensor | None = None) -> Tensor:
        """Map `(N, *input_shape)` (tokens `(N, T)`) and codes `(N, K)` of categories to `(N, num_outputs)`.

        With `counts` `(N, T)`, a row's tokens are distinct, and each occurs that many times.
        """
        outputs: Tensor = self.layers(x) if counts is None else self.layers(x, counts)
        if x_cat is not None:
            for number, column in enumerate(self.categories):
                outputs = outputs + column(x_cat[:, number])
        return outputs


class BagOfTokens(nn.Module):
    """Sum of the weights of a row's tokens plus a bias: a linear model of the token counts."""

    def __init__(self, vocab_size: int, num_outputs: int) -> None:
        super().__init__()
        self.weights = nn.EmbeddingBag(vocab_size, num_outputs, mode="sum", padding_idx=0)
        self.bias = nn.Parameter(torch.zeros(num_outputs))

    def forward(self, x: Tensor | TokenCounts, counts: Tensor | None = None) -> Tensor:
        """Map tokens `(N, T)`, each of which occurs `counts` `(N, T)` times, to `(N, num_outputs)`."""
        if isinstance(x, TokenCounts):
            return x.sums(self.weights.weight) + self.bias
        sums = self.weights(x) if counts is None else weighted_sums(self.weights, x, counts)
        return sums + self.bias


def _without_vectors(model: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Convert weights of earlier models, which had a vector per category, to equivalent weights per output."""
    first, weight = f"{prefix}categories.columns.", f"{prefix}layers.1.weight"
    names = sorted((name for name in state if name.startswith(first)), key=lambda n: int(n.split(".")[-2]))
    for name in reversed(names):  # the vectors followed the numbers
        vectors = state.pop(name)
        joined = state[weight]
        state[weight], own = joined[:, : -vectors.shape[1]], joined[:, -vectors.shape[1] :]
        state[name.replace("categories.columns.", "categories.")] = vectors @ own.T
