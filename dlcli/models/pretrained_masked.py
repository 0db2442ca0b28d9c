"""Pretrained masked language models of transformers: backbone, and the parts of the head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dlcli.errors import ConfigError
from dlcli.models.hub import transformers

# Tokens of the example by which the parts are compared with the model.
_EXAMPLE = 3


class HeadTransform(nn.Module):
    """What a masked language model computes between the states of its backbone and its output layer.

    It is the model itself, in which the backbone returns given states, and the output layer its inputs, so that it
    does not depend on how an architecture names its layers.

    Args:
        model: a model of transformers for masked tokens, which is changed.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        output = model.get_output_embeddings()
        name = next(name for name, module in model.named_modules() if module is output)
        model.set_submodule(name, nn.Identity())
        model.set_submodule(model.base_model_prefix, _Given())
        for module in list(model.modules()):  # a second name of the output layer's bias
            for key, one in list(module.named_parameters(recurse=False)):
                if one is output.bias:
                    module.register_parameter(key, None)
        self.model = model

    def forward(self, states: Tensor) -> Tensor:
        """Map states `(N, T, F)` to the inputs of the output layer."""
        found: Tensor = self.model(inputs_embeds=states).logits
        return found


class _Given(nn.Module):
    """Stand-in for a backbone, which returns the states that it is given."""

    def forward(self, *unused: Any, inputs_embeds: Tensor, **others: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutput

        return BaseModelOutput(last_hidden_state=inputs_embeds)


def masked_parts(name: str, config: Any, model: Any = None) -> tuple[Any, HeadTransform, nn.Linear]:
    """Return backbone, transform and output layer of a model, by default with random weights.

    Raises:
        ConfigError: transformers has no such model of this architecture, or it computes its logits in another way.
    """
    check_masked(name, config)
    trained = model is not None
    if model is None:
        model = transformers().AutoModelForMaskedLM.from_config(config, trust_remote_code=False)
    backbone, output = model.base_model, model.get_output_embeddings()
    if not isinstance(output, nn.Linear) or backbone is model:
        raise _not_masked(name, type(model).__name__)
    if not trained:
        return backbone, HeadTransform(model), output
    tokens, training = torch.arange(_EXAMPLE)[None], model.training
    with torch.no_grad():
        true = model.eval()(input_ids=tokens).logits
        transform = HeadTransform(model)
        try:
            found = output(transform(backbone(input_ids=tokens).last_hidden_state))
        except AttributeError:  # the model reads the weights of its output layer
            found = torch.full_like(true, torch.nan)
    if not torch.allclose(found, true, rtol=1e-3, atol=1e-3):
        raise _not_masked(name, f"{type(model).__name__}, whose logits do not follow from its states")
    backbone.train(training)
    return backbone, transform.train(training), output


def check_masked(name: str, config: Any) -> None:
    """Raise a ConfigError if transformers has no masked language model of an architecture."""
    kinds = [str(kind) for kind in config.architectures or ()]
    known = type(config) in transformers().MODEL_FOR_MASKED_LM_MAPPING
    if not known or getattr(config, "is_encoder_decoder", False) or getattr(config, "is_decoder", False):
        raise _not_masked(name, kinds[0] if kinds else type(config).__name__)


def _not_masked(name: str, has: str) -> ConfigError:
    return ConfigError(
        f"{name} is not a masked language model with a linear output layer ({has})",
        "model.name",
        "Choose a model such as BERT, RoBERTa or DistilBERT.",
    )
