"""The linear model."""

from __future__ import annotations

import torch
from torch import nn

from dlcli.models.layers import CategoryVectors
from dlcli.models.linear import Linear


def test_categories_have_a_weight_per_output_as_with_one_hot_encoding() -> None:
    model = Linear((2,), 3, cardinalities=[4])
    with torch.no_grad():
        model.categories[0].weight[2] = torch.tensor([1.0, 2.0, 3.0])
    outputs = model(torch.zeros(2, 2), torch.tensor([[2], [0]]))
    assert outputs.tolist() == [[1, 2, 3], [0, 0, 0]]


def test_weights_of_a_model_with_category_vectors_mean_the_same() -> None:
    """Earlier models multiplied a learned vector per category by the weights of one linear layer."""

    class Former(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.categories = CategoryVectors([5, 3])
            self.layers = nn.Sequential(nn.Flatten(), nn.Linear(2 + self.categories.width, 3))

        def forward(self, x: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
            return self.layers(self.categories(x, x_cat))

    former, model = Former(), Linear((2,), 3, cardinalities=[5, 3])
    model.load_state_dict(former.state_dict())
    x, codes = torch.randn(6, 2), torch.tensor([[0, 1], [1, 2], [2, 0], [3, 1], [4, 2], [1, 1]])
    torch.testing.assert_close(model(x, codes), former(x, codes))


def test_token_counts_give_the_outputs_and_gradients_of_the_tokens() -> None:
    model = Linear((1,), 2, vocab_size=6)
    torch.nn.init.normal_(model.layers.weights.weight)
    batches = [
        {"x": torch.tensor([[1, 2, 2], [3, 0, 0]]), "y": torch.tensor([0, 1])},
        {"x": torch.tensor([[5, 1]]), "counts": torch.tensor([[2, 3]]), "y": torch.tensor([1])},
    ]
    outputs = torch.cat([model(batch["x"], counts=batch.get("counts")) for batch in batches])
    (solving,) = model.for_solving(batches)
    torch.testing.assert_close(model(solving["x"]), outputs)
    assert solving["y"].tolist() == [0, 1, 1]
    gradients = []
    for each in (outputs, model(solving["x"])):
        model.zero_grad()
        each.square().sum().backward()
        gradients.append(model.layers.weights.weight.grad.clone())
    torch.testing.assert_close(*gradients)
