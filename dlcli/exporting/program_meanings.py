"""What the inputs and outputs of an exported network are, in words, for `FILE.json`."""

from __future__ import annotations

from dlcli.exporting.dynamic_sizes import field_parts

_INPUTS = {
    "x": "outputs of the preprocessing, see there",
    "x_cat": "codes of the categories of each column",
    "counts": "how often each token counts, or its weight; 0 for padding",
    "lengths": "number of tokens or steps of each row",
    "firsts": "index of the first token of each word; -1 for padding, and for words that are cut off",
    "places": "index of each masked token; -1 for padding",
    "segments": "token types of the windows of a question and its context; -1 for padding",
    "offsets": "first character of each token in the context, and the one after its last; -1 for other tokens",
}
_WAVES = {
    "x": "waveforms of 16-bit integers, preprocessing.rate of them a second",
    "lengths": "number of frames of each row, 1 + samples // preprocessing.hop_length",
}
_PADDED = "; shorter rows are padded with 0"

# By the kind of the task.
_OUTPUTS = {
    "tag": "logits of the classes of each word; minus infinity for words that are cut off",
    "answer_span": (
        "start and end logits of each token, and its offsets. Tokens whose second offset is larger than the first can "
        "be part of an answer; the first token of the first window stands for no answer, if task.unanswerable"
    ),
    "ctc": (
        "logits of the blank (0) and of the symbols in their order. A row has ceil(lengths / task.frames_per_step) "
        "steps; of repeated symbols one counts, and blanks separate them"
    ),
    "segmentation": "logits of the classes of each pixel",
    "detection": (
        "detections of each image: left, top, right and bottom in shares of its sides, score, and class (-1: none)"
    ),
    "language_model": "logits of the next token after each token",
    "masked_language_model": "logits of the tokens at `places`",
}
_ROWS = "logits of classes, or numbers: value = output * task.target_std + task.target_mean"


def input_meaning(field: str, size: str) -> str:
    """Return what the values of a field are.

    Args:
        field: its name.
        size: name of the second dimension of `x`; empty if it is fixed.
    """
    stem, _ = field_parts(field)
    found = (_WAVES if size.startswith("samples") else {}).get(stem) or _INPUTS.get(stem, "")
    return found + (_PADDED if stem == "x" and size else "")


def output_meaning(kind: str) -> str:
    """Return what the outputs of a task of a kind are."""
    return _OUTPUTS.get(kind, _ROWS)
