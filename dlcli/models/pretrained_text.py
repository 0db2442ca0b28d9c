"""Pretrained text models of transformers with a new head (Wolf et al., Transformers, 2020)."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, MinLen
from torch import Tensor, nn

from dlcli.config.target_kinds import ONE_A_ROW
from dlcli.datasets.notices import Notice
from dlcli.errors import ConfigError
from dlcli.models import layers as shared
from dlcli.models import pretrained_decoder
from dlcli.models.hub import plain_description, transformers
from dlcli.models.layers import Activation, Share
from dlcli.models.positions import most_tokens
from dlcli.models.pretrained_decoder import State
from dlcli.models.pretrained_heads import LoadedBackbone, load_backbone, new_backbone
from dlcli.preprocessing.model_tokens import token_order

# Largest number of tokens of a text for models without a limit.
_CONTEXT = 1024


class PretrainedText(nn.Module):
    """A transformers backbone with a head for the task.

    For outputs of rows, the last states are pooled. For outputs of words, the state of a word's first token is used (as
    in BERT, Devlin et al., 2019); for outputs of tokens, that of each token of the context; for the next token, that of
    each token of a causal language model; for masked tokens, that of each of them; for texts, that of each token of the
    decoder, which generates them. The head is that of the pretrained model if it has a matching one, otherwise new, as
    reported by `notices`.

    Args:
        num_outputs: logits or values per text, word or token.
        name: name of the model on the hub, or a folder.
        backbone_config: the backbone's config.json, read by the preprocessing together with the tokenizer.
        pretrained: load the pretrained weights; if false, initialize at random.
        pooling: pooling of the tokens' states to one vector, for outputs of rows.
        hidden: number of units of a dense layer before the output; 0 omits it.
        activation: activation function of the dense layer.
        dropout: dropout rate before the output.
        outputs_of: unit of the outputs: each `row`, each `word`, each `token` of a context, or the `next_token` after
            each token or each `masked_token`, with a logit for each of `vocab_size` tokens; or each token of the
            `text` that is generated.
        output_names: names of the outputs of a word.
        vocab_size: number of tokens.
        restored: skip loading the weights, because they will be loaded from a run.

    Raises:
        ConfigError: the texts were tokenized by another tokenizer, or some weights are missing.
    """

    accepts: ClassVar = {"tokens", "questions", "words"}
    targets: ClassVar = ONE_A_ROW | {
        "answer_span",
        "tag",
        "language_model",
        "masked_language_model",
        "seq2seq",
    }
    search_space: ClassVar = {
        "hidden": "0,128",
        "dropout": "interval(0,0.5)",
    }
    # The choice of `preprocessing=auto` by kind of targets or of data, which uses the model's tokenizer.
    preprocessing: ClassVar = {
        "tokens": "pretrained_text",
        "questions": "pretrained_questions",
        "words": "pretrained_words",
        "language_model": "pretrained_language",
        "masked_language_model": "pretrained_masked",
        "seq2seq": "pretrained_pairs",
    }
    requires: ClassVar = ("transformers",)
    order: Tensor  # the model's number of each token, for texts
    # Settings that make the head linear, so that it can be fitted on all features of a frozen backbone.
    linear_head: ClassVar = {"hidden": 0, "dropout": 0}

    def __init__(
        self,
        num_outputs: int,
        name: Annotated[str, MinLen(1)],
        backbone_config: str | None = None,
        pretrained: bool = True,
        pooling: Literal["mean", "first", "last"] = "mean",
        hidden: Annotated[int, Ge(0)] = 0,
        activation: Activation = "gelu",
        dropout: Share = 0.1,
        outputs_of: Literal["row", "word", "token", "next_token", "masked_token", "text"] = "row",
        output_names: Sequence[str] = (),
        vocab_size: int | None = None,
        restored: bool = False,
    ) -> None:
        super().__init__()
        if backbone_config is None:
            raise ConfigError(
                "the texts are not tokenized by the model's tokenizer",
                "preprocessing",
                "Choose preprocessing=pretrained_text.",
            )
        self._backbone_config = backbone_config
        self.random_backbone = "" if pretrained else "model.pretrained=false"
        description = plain_description(json.loads(backbone_config))
        library = transformers()
        config = library.AutoConfig.for_model(description.pop("model_type"), **description)
        if pretrained and not restored and torch.get_default_device().type != "meta":
            loaded = load_backbone(name, config, outputs_of, output_names)
        else:
            loaded = new_backbone(name, config, outputs_of)
        self.backbone = loaded.backbone
        # Fixed positions, such as those of Marian, are parameters without a gradient.
        self._fixed = {name for name, one in self.backbone.named_parameters() if not one.requires_grad}
        self._blocks = [self._list_of_blocks(int(config.num_hidden_layers))]
        if outputs_of == "text":
            self._prepare_decoder(loaded, name, vocab_size or num_outputs)
        if getattr(self.backbone, "pooler", None) is not None:
            self.backbone.pooler = None  # an unused layer on the first token's state
        self.longest_text = most_tokens(config)
        # The largest number of tokens that a language model sees at a time.
        self.context = self.longest_text or _CONTEXT
        self.pooling = pooling
        width = int(config.hidden_size)
        dense: list[nn.Module] = [nn.Linear(width, hidden), shared.activation(activation)] if hidden else []
        if loaded.transform is not None and loaded.output is not None and not hidden:
            dense, width = [loaded.transform], loaded.output.in_features
        if outputs_of in ("next_token", "masked_token"):
            output = nn.Linear(hidden or width, vocab_size or num_outputs, bias=outputs_of == "masked_token")
            if loaded.output is not None:
                # A model may have more outputs than its tokenizer has tokens.
                loaded.output = _first_outputs(loaded.output, output)
        else:
            output = nn.Linear(hidden or width, num_outputs)
        if loaded.output is not None and output.weight.shape == loaded.output.weight.shape:
            output.load_state_dict(loaded.output.state_dict())
        elif loaded.output is not None:
            loaded.told = "the head is new: that of the pretrained model has no dense layer (model.hidden=0)"
        self.head = nn.Sequential(*dense, *shared.dropout(dropout), output)
        self._outputs_of = outputs_of
        self.notices = [Notice("head", 1, loaded.told, "model.name", warns=False)] if loaded.told else []
        self._takes_segments = "token_type_ids" in inspect.signature(self.backbone.forward).parameters

    def feature_settings(self) -> dict[str, Any]:
        """Return all settings that the features depend on besides the backbone's weights."""
        return {"pooling": self.pooling, "config": self._backbone_config}

    def features(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        firsts: Tensor | None = None,
        segments: Tensor | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        """Map tokens to vectors `(N, F)` of rows, `(N, V, F)` of words, `(N, M, F)` of masked tokens or `(N, W, T, F)`
        of the tokens of windows.

        Args:
            x: tokens `(N, T)`, or `(N, W, T)` in windows.
            lengths: number of tokens of each row `(N,)`.
            firsts: for words, the index of the first token of each `(N, V)`, -1 for words that are cut off.
            segments: for windows, the token types `(N, W, T)`, -1 for padding.
            places: the masked tokens `(N, M)`, -1 for padding.
        """
        if segments is not None:
            return self._windows(x, segments)
        if self._outputs_of == "next_token":  # padding follows a row's tokens, which do not see it
            return torch.cat([self._states(piece) for piece in x.split(self.context, dim=1)], dim=1)
        if lengths is None:
            lengths = torch.full((x.shape[0],), x.shape[1], device=x.device)
        mask = torch.arange(x.shape[1], device=x.device) < lengths.unsqueeze(1)
        states = self.backbone(input_ids=x, attention_mask=mask.long()).last_hidden_state
        if (chosen := firsts if places is None else places) is not None:
            return states.gather(1, chosen.clamp_min(0).unsqueeze(2).expand(-1, -1, states.shape[2]))
        if self.pooling == "first":
            return states[:, 0]
        if self.pooling == "last":
            return states[torch.arange(x.shape[0], device=x.device), lengths - 1]
        weights = mask.unsqueeze(2).to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)

    def _states(self, x: Tensor) -> Tensor:
        """Return the states of tokens `(N, T)`, each of which sees those before it."""
        states: Tensor = self.backbone(input_ids=x, use_cache=False).last_hidden_state
        return states

    def continued(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return the logits `(N, V)` after the last of the new tokens `(N, T)`, and the state for the next call.

        `state` is the keys and values of the previous tokens; None begins a text.
        """
        found = self.backbone(input_ids=x, past_key_values=state, use_cache=True)
        return self.head(found.last_hidden_state[:, -1]), found.past_key_values

    def _windows(self, x: Tensor, segments: Tensor) -> Tensor:
        """Return the states of the tokens of all windows; padding windows attend to their first token only."""
        x, flat = x.flatten(0, 1), segments.flatten(0, 1)
        mask = (flat >= 0).long()
        mask[:, 0] = 1
        types = {"token_type_ids": flat.clamp_min(0)} if self._takes_segments else {}
        states = self.backbone(input_ids=x, attention_mask=mask, **types).last_hidden_state
        return states.unflatten(0, segments.shape[:2])

    def forward(
        self,
        x: Tensor | None = None,
        lengths: Tensor | None = None,
        firsts: Tensor | None = None,
        segments: Tensor | None = None,
        offsets: Tensor | None = None,
        features: Tensor | None = None,
        y: Tensor | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        """Map tokens, or their features, to `(N, num_outputs)`, `(N, V, num_outputs)` for words, `(N, T, vocab_size)`
        for the next token or for the tokens of a text given those before each of its tokens `y` `(N, T)`,
        `(N, M, vocab_size)` for the masked tokens at `places`, or `(N, W, T, 4)`.

        The latter are start and end logits of the tokens of windows, with their character positions, `offsets` `(N, W,
        T, 2)`. Logits of words that are cut off are -inf.
        """
        if self._outputs_of == "text":
            assert x is not None and lengths is not None
            states = pretrained_decoder.taught_states(self.backbone, self.order, x, lengths, y)
            return states if y is None else self.head(states)
        if features is None:
            assert x is not None
            features = self.features(x, lengths, firsts, segments, places)
        outputs: Tensor = self.head(features)
        if firsts is not None:
            outputs = outputs.masked_fill((firsts < 0).unsqueeze(2), -math.inf)
        return outputs if offsets is None else torch.cat([outputs.float(), offsets.float()], dim=3)

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[State, State]:
        """Return the memory of sources and the first state, see `dlcli.tasks.decoding.Decodes`."""
        return pretrained_decoder.encode(self.backbone, self.order, x, lengths)

    def decode(self, tokens: Tensor, memory: State, state: State) -> tuple[Tensor, State]:
        """Return the logits of the next token and the next state, see `dlcli.tasks.decoding.Decodes`."""
        found, state = pretrained_decoder.decode(self.backbone, self.order, tokens, memory, state)
        return self.head(found), state

    def _prepare_decoder(self, loaded: LoadedBackbone, name: str, size: int) -> None:
        """Bring tokens, and the outputs of a pretrained layer, into the order of decoding."""
        if not pretrained_decoder.is_encoder_decoder(self.backbone):
            raise pretrained_decoder.no_seq2seq(name, type(self.backbone).__name__)
        repeats = len(token_order(self._backbone_config, size)) - size
        order = torch.tensor(token_order(self._backbone_config, size - repeats), device="cpu")
        self.register_buffer("order", order, persistent=False)
        self._blocks = pretrained_decoder.blocks_of(self.backbone)
        if loaded.output is not None:
            loaded.output = pretrained_decoder.reordered(loaded.output, order)

    def _list_of_blocks(self, blocks: int) -> str:
        return next(
            name
            for name, module in self.backbone.named_modules()
            if isinstance(module, nn.ModuleList) and len(module) == blocks
        )

    def layers(self, *, coarse: bool) -> list[list[str]]:
        """Return the names of the backbone's trainable parameters: embeddings, then each block; the rest belongs to
        the last block."""
        sizes = [len(self.backbone.get_submodule(name)) for name in self._blocks]
        layers: list[list[str]] = [[] for _ in range(sum(sizes) + 1)]
        place, side = 0, ""
        for name, _ in self.backbone.named_parameters():
            if len(sizes) > 1 and not name.startswith(
                f"{side}."
            ):  # embeddings precede the blocks of each side
                place, side = 0, name.partition(".")[0]
            before = 1
            for blocks, size in zip(self._blocks, sizes, strict=True):
                if name.startswith(f"{blocks}."):
                    place = int(name.removeprefix(f"{blocks}.").partition(".")[0]) + before
                before += size
            if name not in self._fixed:
                layers[place].append(name)
        return layers


def _first_outputs(layer: nn.Linear, like: nn.Linear) -> nn.Linear:
    """Return the first outputs of a layer, as many as those of another one, and with a bias if that has one."""
    number, biased = like.out_features, like.bias is not None
    first = nn.Linear(layer.in_features, number, bias=biased)
    with torch.no_grad():
        first.weight.copy_(layer.weight[:number])
        if biased and layer.bias is not None:
            first.bias.copy_(layer.bias[:number])
        elif biased:
            first.bias.zero_()
    return first
