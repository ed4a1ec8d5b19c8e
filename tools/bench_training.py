"""Compares ways to train the demo's dictionary on the same rows; prints a Markdown table (docs/benchmarks/training.md)."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from atlas.activations.corpus import load_corpus
from atlas.activations.model import PACKAGED_MODEL, LanguageModel
from atlas.activations.stream import StreamConfig, blocks, chunk_windows
from atlas.dictionary import Smixae, Weights, training
from atlas.dictionary.training import TrainingConfig

Start = Callable[[Tensor, TrainingConfig], Weights]
OURS: Start = training.initial_weights


def reference_start(mean: Tensor, config: TrainingConfig) -> Weights:
    """Return the reference's initial weights: W_latent_dec drawn by itself, a bias of zero."""
    ours = OURS(mean, config)
    bound = float(ours.W_bottleneck.abs().max())
    drawn = (torch.rand(ours.W_latent_dec.shape, generator=torch.Generator().manual_seed(config.seed + 1)) * 2 - 1) * bound
    return ours._replace(W_latent_dec=drawn, b_dec=torch.zeros_like(mean))


VARIANTS: list[tuple[str, Start, TrainingConfig]] = [
    ("as released", OURS, TrainingConfig()),
    ("without the auxiliary loss", OURS, TrainingConfig(aux_coefficient=0.0)),
    ("started as the reference", reference_start, TrainingConfig()),
    ("learning rate 2e-3", OURS, TrainingConfig(learning_rate=2e-3)),
]


def gathered() -> tuple[Tensor, Tensor]:
    """Return the rows of the built-in corpus to train on, and those held out."""
    model = LanguageModel.load(PACKAGED_MODEL, "encoder.layer.2")
    rows, held_out = [], []
    for chunk in load_corpus("python-docs").chunks():
        for x, tokens in blocks(chunk_windows(chunk, model.tokenizer, StreamConfig()), model, StreamConfig()):
            real = x[: len(tokens.held_out)]
            rows.append(real[~tokens.held_out])
            held_out.append(real[tokens.held_out])
    return torch.cat(rows), torch.cat(held_out)


def measured(smixae: Smixae, x: Tensor) -> tuple[float, int, int]:
    """Return FVU, silent experts and dense ones on rows."""
    error, fired = 0.0, torch.zeros(smixae.n_experts)
    for part in x.split(8192):
        codes = smixae.encode(part)
        fired += (codes.norm(dim=2) > 0).sum(dim=0)
        error += float((part - smixae.decode(codes)).square().sum())
    variance = float((x - x.mean(dim=0)).square().sum())
    return error / variance, int((fired == 0).sum()), int((fired > 0.1 * len(x)).sum())


def main() -> None:
    """Train each variant and print what it reaches on held-out rows."""
    rows, held_out = gathered()
    print(f"{len(rows):,} rows to train on, {len(held_out):,} held out, no carrier sentences\n")
    print("| variant | FVU held out | silent | dense | seconds |\n|---|---|---|---|---|")
    for name, start, config in VARIANTS:
        training.initial_weights = start
        began = time.monotonic()
        fvu, silent, dense = measured(training.train(rows, held_out, config), held_out)
        print(f"| {name} | {fvu:.4f} | {silent} | {dense} | {time.monotonic() - began:.0f} |", flush=True)


if __name__ == "__main__":
    main()
