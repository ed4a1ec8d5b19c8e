"""Folds a checkpoint rightly and wrongly for several activation scales; prints the verdict on each (docs/checkpoints.md)."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import torch

from atlas.activations.corpus import load_corpus
from atlas.activations.model import LanguageModel
from atlas.activations.pretrained import PACKAGED_MODEL
from atlas.activations.stream import StreamConfig
from atlas.dictionary import Checkpoint, Smixae
from atlas.dictionary.diagnosis import diagnose, residual_rows

TOKENS = 20_000
FACTORS = (0.3, 0.5, 0.65, 1.0, 1.58, 2.0, 3.0)
"""What the checkpoint's own scale is multiplied by: rows are divided by it."""

RULES = {"right": (0.5, 0.5), "rule 1": (1.0, 0.0), "rule 2": (1.0, 1.0)}
"""Powers of 1/s that W_dec and the threshold take, where codes are rescaled by the decoder norm."""


def wrong(smixae: Smixae, own: float, scale: float, rule: str) -> Smixae:
    """Return a rightly folded dictionary of the scale `own` as a rule folds it for rows of another scale."""
    w, root = smixae.weights, math.sqrt(own)
    unfolded = w._replace(W_enc=w.W_enc / own, W_dec=w.W_dec * root, b_dec=w.b_dec * own)
    threshold = smixae.threshold * root
    if rule in RULES:
        of_decoder, of_threshold = (scale**power for power in RULES[rule])
        unfolded = unfolded._replace(
            W_enc=unfolded.W_enc * scale, W_dec=unfolded.W_dec / of_decoder, b_dec=unfolded.b_dec / scale
        )
        threshold /= of_threshold
    return Smixae(smixae.config, unfolded, threshold)


def main(checkpoint: Path) -> None:
    """Print a row for every scale, a column for every rule."""
    found = Checkpoint.load(checkpoint)
    model = LanguageModel.load(PACKAGED_MODEL, found.metadata["hook_name"])
    rows = torch.cat(list(residual_rows(load_corpus("python-docs"), model, StreamConfig(), TOKENS)))
    own = math.sqrt(rows.shape[1]) / float(rows.norm(dim=1).mean())
    rules = (*RULES, "no fold")
    print(f"| s | {' | '.join(rules)} |\n|---|{'---|' * len(rules)}")
    for factor in FACTORS:
        said = []
        for rule in rules:
            diagnosis = diagnose(replace(found, smixae=wrong(found.smixae, own, own * factor, rule)), [rows / factor])
            said.append(diagnosis.mend.name if diagnosis.mend else diagnosis.verdict)
        print(f"| {own * factor:.2f} | {' | '.join(said)} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "work/train/checkpoint"))
