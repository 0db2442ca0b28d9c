"""Texts that are hard to tokenize."""

from __future__ import annotations

# Texts that are hard to divide: contractions, digits, emoji, several scripts, composed and decomposed signs, a final
# sigma, superscripts, signs without a width, an empty text, quotes and separators.
TEXTS = [
    "It's 12.50 (or less?)", "na\u00efve caf\u00e9", "nai\u0308ve cafe\u0301",
    "\ufb01ne, \ufb02at: m\u00b2 \u00bd \u2163", "\u039f\u0394\u039f\u03a3 \u0391\u03a3 \u03a3",
    "\u0130stanbul STRASSE \u1e9e", "\u0939\u093f\u0928\u094d\u0926\u0940 \u0964",
    "\u4f60\u597d\uff0c\u4e16\u754c 123", "\U0001f600\U0001f44d\U0001f3fd ok!!!", "a_b c-d e--f",
    "zero\u200cwidth\u200djoin", "tab\there", "", "   ", 'say "hi", ok',
    "\u0661\u0662\u0663 \u24b6\u24d0 \u2460", "don\u2019t \u2026 \u00ab x \u00bb", "<pad> <unk> x",
]  # fmt: skip
