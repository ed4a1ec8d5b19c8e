"""Compares ways to train the demo's dictionary on the same rows; prints a Markdown table (docs/benchmarks/training.md)."""

from __future__ import annotations

import sys
import time

import torch
from torch import Tensor

from atlas.activations.corpus import load_corpus
from atlas.activations.model import LanguageModel
from atlas.activations.pool import Pool, PoolReader
from atlas.activations.pretrained import PACKAGED_MODEL
from atlas.activations.stream import StreamConfig
from atlas.dictionary import Smixae
from atlas.dictionary.training import Training, TrainingConfig

SHAPE = {"n_experts": 256, "d_expert": 8, "k": 12, "steps": 400, "batch": 2048, "seed": 0}
"""Of the demo, for the reference's recipe too: its warm-up and its wait for dead experts are as long a part of the steps."""

REFERENCE = TrainingConfig.reference(**SHAPE, warmup_steps=40, dead_after=20)

VARIANTS: dict[str, TrainingConfig] = {
    "as released": TrainingConfig(),
    "without an auxiliary loss": TrainingConfig(aux_coefficient=0.0),
    "auxiliary loss `residual`, its own weight d/32": TrainingConfig(auxiliary="residual", aux_coefficient=3 / 32),
    "auxiliary loss `shortfall`, its own weight 9e-6": TrainingConfig(auxiliary="shortfall", aux_coefficient=9e-6),
    "auxiliary loss `shortfall`, weight 1e-2": TrainingConfig(auxiliary="shortfall", aux_coefficient=1e-2),
    "auxiliary loss `auxk`, weight 1/8": TrainingConfig(aux_coefficient=1 / 8),
    "started as the reference": TrainingConfig(start="reference"),
    "learning rate 2e-3": TrainingConfig(learning_rate=2e-3),
    "learning rate 8e-3": TrainingConfig(learning_rate=8e-3),
    "the reference's recipe": REFERENCE,
    "the reference's recipe, learning rate 4e-3": TrainingConfig.reference(
        **SHAPE, warmup_steps=40, dead_after=20, learning_rate=4e-3
    ),
}
HELD_OUT_ROWS = 131_072
CALIBRATION_ROWS = 32_768
"""Of the held-out rows, the first, that the threshold is set on."""


def gathered() -> tuple[Pool, Tensor]:
    """Return the rows of the built-in corpus to train on, and those held out."""
    model = LanguageModel.load(PACKAGED_MODEL, "encoder.layer.2")
    reader = PoolReader(model, load_corpus("python-docs"), StreamConfig(), 0.0, 0)
    return reader.read(0, 524_288), reader.held_out(HELD_OUT_ROWS)


def trained(pool: Pool, calibration: Tensor, config: TrainingConfig) -> Smixae:
    """Return a dictionary trained on a pool, shuffled anew as often as the steps need."""
    training, shuffled = Training.begin(pool.rows, config), 0
    while training.steps < config.steps:
        for rows in pool.batches(config.batch, config.seed + 1_000_003 * shuffled):
            training.step(rows)
            if training.steps == config.steps:
                break
        shuffled += 1
    return training.calibrated(calibration)


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
    """Train each variant and print what it reaches on held-out rows; words on the command line choose variants by their name."""
    pool, held_out = gathered()
    print(f"{len(pool.rows):,} rows to train on, {len(held_out):,} held out, no carrier sentences\n")
    print("| variant | FVU held out | silent | dense | seconds |\n|---|---|---|---|---|")
    for name, config in VARIANTS.items():
        if all(word in name for word in sys.argv[1:]):
            began = time.monotonic()
            fvu, silent, dense = measured(trained(pool, held_out[:CALIBRATION_ROWS], config), held_out)
            print(f"| {name} | {fvu:.4f} | {silent} | {dense} | {time.monotonic() - began:.0f} |", flush=True)


if __name__ == "__main__":
    main()
