"""A plain training loop with nanoGPT's recipe for a CPU, to compare `experiment=shakespeare_char` with.

    python bench/nanogpt_recipe.py tinyshakespeare.txt

Written from the description of the recipe: 4 layers, 4 heads, width 128, blocks of 64 characters that begin at
random, batches of 12, 2,000 steps of AdamW (0.001 after 100 steps of warm-up, cosine to 0.0001, betas 0.9 and 0.99,
weight decay 0.1 of matrices, gradients clipped at 1), losses on 20 batches of both parts every 250 steps. At the end,
the loss on the whole validation part (the last tenth) is computed as dlcli does. Prints CPU time and wall time.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCK, BATCH, LAYERS, HEADS, WIDTH = 64, 12, 4, 4, 128
WARMUP, LR, LOWEST, EVERY, SOME = 100, 1e-3, 1e-4, 250, 20


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.project = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        rows, steps, width = x.shape
        query, key, value = (
            part.view(rows, steps, HEADS, width // HEADS).transpose(1, 2)
            for part in self.parts(x).split(width, dim=2)
        )
        y = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.project(y.transpose(1, 2).contiguous().view(rows, steps, width))


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH, bias=False)
        self.attention = Attention()
        self.norm2 = nn.LayerNorm(WIDTH, bias=False)
        self.widen = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.project = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.project(functional.gelu(self.widen(self.norm2(x))))


class PlainGPT(nn.Module):
    def __init__(self, vocab: int) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocab, WIDTH), nn.Embedding(BLOCK, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                small = math.sqrt(2 * LAYERS) if "project" in name else 1
                nn.init.normal_(parameter, std=0.02 / small)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        states = self.tokens(x) + self.places(torch.arange(x.shape[1]))
        for layer in self.layers:
            states = layer(states)
        logits = functional.linear(self.norm(states), self.tokens.weight)
        return functional.cross_entropy(logits.flatten(0, 1), y.flatten())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("text", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    asked = parser.parse_args()
    torch.manual_seed(1337)
    text = asked.text.read_text(encoding="utf-8")
    alphabet = {character: code for code, character in enumerate(sorted(set(text)))}
    codes = np.array([alphabet[character] for character in text], np.uint16)
    train, val = codes[: int(0.9 * len(codes))], codes[int(0.9 * len(codes)) :]

    def batch(part: np.ndarray) -> tuple[Tensor, Tensor]:
        begins = torch.randint(len(part) - BLOCK, (BATCH,))
        x = torch.stack([torch.from_numpy(part[i : i + BLOCK].astype(np.int64)) for i in begins])
        y = torch.stack([torch.from_numpy(part[i + 1 : i + 1 + BLOCK].astype(np.int64)) for i in begins])
        return x, y

    model = PlainGPT(len(alphabet))
    matrices = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=(0.9, 0.99))

    def rate(step: int) -> float:
        if step < WARMUP:
            return LR * (step + 1) / (WARMUP + 1)
        done = (step - WARMUP) / (asked.steps - WARMUP)
        return LOWEST + 0.5 * (1 + math.cos(math.pi * done)) * (LR - LOWEST)

    @torch.no_grad()
    def estimate() -> tuple[float, ...]:
        model.eval()
        losses = tuple(
            float(torch.stack([model(*batch(part)) for _ in range(SOME)]).mean()) for part in (train, val)
        )
        model.train()
        return losses

    started, cpu = time.perf_counter(), time.process_time()
    for step in range(asked.steps + 1):
        if step % EVERY == 0:
            of_train, of_val = estimate()
            sys.stdout.write(f"step {step}: train {of_train:.4f}, val {of_val:.4f}\n")
        if step == asked.steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        loss = model(*batch(train))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    trained, wall = time.process_time() - cpu, time.perf_counter() - started
    model.eval()
    usable = (len(val) - 1) // BLOCK * BLOCK
    x, y = (torch.from_numpy(val[i : i + usable].astype(np.int64)).view(-1, BLOCK) for i in (0, 1))
    with torch.no_grad():
        whole = [float(model(*pair)) * len(pair[0]) for pair in zip(x.split(128), y.split(128), strict=True)]
    sys.stdout.write(
        f"whole validation part: {sum(whole) / len(x):.4f}; training took {trained:.1f} s of CPU time, {wall:.1f} s; "
        f"all of the process {time.process_time():.1f} s of CPU time\n"
    )


if __name__ == "__main__":
    main()
