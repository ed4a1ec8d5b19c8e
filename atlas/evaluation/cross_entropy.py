"""What rebuilding the residual stream costs a causal model: the cross-entropy of the next token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from atlas.activations.model import LanguageModel, Specials
from atlas.activations.stream import StreamConfig, Window, batches, padded, row_blocks
from atlas.dictionary import Smixae
from atlas.errors import ModelError
from atlas.evaluation.fidelity import Components, ratio
from atlas.evaluation.text import EvaluatedText

LOGITS_AT_ONCE = 2**28
"""Most numbers that the logits of one forward pass hold: a gigabyte."""


class CrossEntropies(NamedTuple):
    """Mean cross-entropy of the next token, in nats, by what takes the place of the hook's output."""

    tokens: int
    """Tokens that were predicted."""
    model: float
    """Nothing does."""
    dictionary: float
    pca: float
    zero: float
    mean: float


Rebuild = Callable[[Float[Tensor, "token d_in"]], Float[Tensor, "token d_in"]]


def cross_entropies(text: EvaluatedText, smixae: Smixae, pca: Components, n_components: int) -> CrossEntropies:
    """Return how well the model predicts held-out text with its hook's output kept, rebuilt, zeroed and averaged away.

    Text predicts text: pairs of tokens of which one is special are left out. Rows of special tokens stay as the model has them,
    but that `zero` takes the whole output, as the reference does. `mean` is that of the rows that the components are fitted to.

    Raises:
        ModelError: a cross-entropy is not finite.
    """
    rebuilds: dict[str, Rebuild] = {
        "dictionary": lambda x: torch.cat([smixae.reconstruct(block)[:n] for block, n in row_blocks(x)] or [x]),
        "pca": lambda x: pca.rebuilt(x, n_components),
        "mean": lambda x: pca.mean.to(x.dtype).expand_as(x),
    }
    sums = dict.fromkeys(("model", "dictionary", "pca", "zero", "mean"), 0.0)
    tokens = 0
    model, specials = text.model, Specials(text.model.tokenizer)
    for windows in text.windows(text.is_held_out, text.config.ce_tokens):
        for batch in _small_batches(windows, model, text.config.stream):
            ids, attended, kept = (part.to(model.device) for part in padded(batch, specials))
            pairs = kept[:, :-1] & kept[:, 1:]
            targets = ids[:, 1:][pairs]
            for subject in sums:
                replace = None if subject == "model" else _replacing(rebuilds.get(subject), kept)
                logits = model.logits(ids, attended, replace)[:, :-1][pairs]
                sums[subject] += float(cross_entropy(logits, targets, reduction="none").double().sum())
                text.counted(int(kept.sum()))
            tokens += len(targets)
    if not np.isfinite(list(sums.values())).all():
        hint = "" if model.dtype == "float32" else " Try --dtype float32."
        raise ModelError(f"'{model.name}' predicts held-out text with a cross-entropy that is not finite.{hint}")
    return CrossEntropies(tokens, **{subject: ratio(total, tokens) for subject, total in sums.items()})


def _replacing(
    rebuild: Rebuild | None, kept: Bool[Tensor, "window position"]
) -> Callable[[Float[Tensor, "window position d_in"]], Float[Tensor, "window position d_in"]]:
    """Return what puts rebuilt rows in the place of those of text, or zeros in the place of all."""

    def replace(output: Float[Tensor, "window position d_in"]) -> Float[Tensor, "window position d_in"]:
        if rebuild is None:
            return torch.zeros_like(output)
        replaced = output.clone()
        replaced[kept] = rebuild(output[kept])
        return replaced

    return replace


def _small_batches(windows: list[Window], model: LanguageModel, config: StreamConfig) -> Iterator[list[Window]]:
    """Yield batches of windows of one length whose logits are held at once: with a large vocabulary those are few."""
    for batch in batches(windows, model.tokenizer, config):
        size = max(1, LOGITS_AT_ONCE // (config.window_tokens * len(model.embeddings)))
        for start in range(0, len(batch), size):
            yield batch[start : start + size]
