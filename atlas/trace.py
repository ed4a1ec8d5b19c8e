"""What every expert does on a prompt: the norms that the gate compares with the threshold, token by token."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from atlas.activations.corpus import Document
from atlas.activations.model import LanguageModel, Specials
from atlas.activations.stream import StreamConfig, blocks, chunk_windows, require_finite, window_width
from atlas.activations.vocabulary import token_texts
from atlas.dictionary import Smixae
from atlas.errors import CorpusError

NEAR = 0.5
"""Of the threshold: an expert that stays below it on every token of a prompt is not kept."""

LONGEST = 1_024
"""Tokens of a prompt: its norms are held for every expert at once, and a page shows all of them."""


class Prompt(NamedTuple):
    """A text, and what the experts that come near the threshold on it do at each of its tokens."""

    text: str
    token_ids: list[int]
    texts: list[str]
    """Of each token, with its leading space."""
    window: list[int]
    """Which window of the prompt the model saw each token in."""
    special: list[bool]
    """Special tokens that the text spells out: context, which no expert reads."""
    expert: npt.NDArray[np.int32]
    """Those whose norm is at least half of the threshold on some token, by number."""
    norms: npt.NDArray[np.float32]
    """Of shape (expert, token), before the gate; 0 on special tokens."""


def prompt_tokens(document: Document, tokenizer: Any) -> list[int]:
    """Return the tokens of a prompt.

    Raises:
        CorpusError: it has none, or too many.
    """
    found = document.tokens(tokenizer)
    if not found:
        raise CorpusError(f"Prompt {document.ordinal + 1} holds no text. Leave it out.")
    if len(found) > LONGEST:
        raise CorpusError(
            f"Prompt {document.ordinal + 1} has {len(found):,} tokens; a prompt has at most {LONGEST:,}. Cut it into several."
        )
    return found


def trace(document: Document, smixae: Smixae, model: LanguageModel, config: StreamConfig) -> Prompt:
    """Run a prompt through model and dictionary as a corpus of one document is, so that no other prompt changes a bit of it.

    Raises:
        CorpusError: it has no tokens, or too many.
        ModelError: the model returns values that are not finite.
    """
    token_ids = prompt_tokens(document, model.tokenizer)
    width = window_width(model.tokenizer, config)
    norms = torch.zeros(len(token_ids), smixae.n_experts)
    for block in blocks(chunk_windows([document], model.tokenizer, config), model, config):
        require_finite(block, model, lambda _document, _window: "the prompt")
        place = (block.tokens.window * width + block.tokens.position).long().cpu()
        # The whole block, whose last rows may be none of the prompt's: a shorter one would have other bits.
        norms[place] = smixae.norms(block.x)[: len(place)].cpu()
    near = (norms.amax(dim=0) >= NEAR * smixae.threshold).nonzero().flatten()
    texts = token_texts(model.tokenizer, token_ids)
    specials = Specials(model.tokenizer).ids
    return Prompt(
        text="".join(texts) if document.token_ids is not None else document.text,
        token_ids=token_ids,
        texts=texts,
        window=[place // width for place in range(len(token_ids))],
        special=[token in specials for token in token_ids],
        expert=near.int().numpy(),
        norms=norms[:, near].T.contiguous().numpy(),
    )
