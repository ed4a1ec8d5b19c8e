"""A task's sentences, run through the language model: one residual-stream row each, at the token where the label ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from atlas.activations.model import LanguageModel, Specials
from atlas.activations.stream import StreamConfig, Window, blocks, require_finite, row_blocks, window_width
from atlas.dictionary import Firings, Smixae
from atlas.errors import TaskError
from atlas.probe.tasks import Sentence, Task


class Probed(NamedTuple):
    """A sentence with its tokens and the place that is probed."""

    sentence: Sentence
    token_ids: list[int]
    position: int
    """Index into the tokens of the one that the label ends in."""
    label_ids: list[int]
    """Token ids of the label."""


class TaskRows(NamedTuple):
    """What the probes of one task are fitted to."""

    probed: list[Probed]
    x: Float[Tensor, "row d_in"]
    kept: Int64[np.ndarray, "row"]
    """Which of the task's sentences each row is."""
    dropped: int
    """Sentences whose label would have been cut off."""


def probed_sentences(task: Task, model: LanguageModel, config: StreamConfig) -> tuple[list[Probed], Int64[np.ndarray, "row"]]:
    """Return the task's sentences as tokens, and which of them they are: all whose label ends before the window does."""
    width = window_width(model.tokenizer, config)
    specials = Specials(model.tokenizer)
    probed, kept = [], []
    encoded: dict[str, tuple[list[int], list[tuple[int, int]]]] = {}
    for number, sentence in enumerate(task.sentences):
        if sentence.text not in encoded:
            # verbose: no warning about texts longer than the model's context, which is what windows are for
            found = model.tokenizer(sentence.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            encoded[sentence.text] = found["input_ids"], found["offset_mapping"]
        ids, offsets = encoded[sentence.text]
        inside = [i for i, (a, b) in enumerate(offsets) if a < sentence.end and b > sentence.start]
        if not inside or inside[-1] >= width or ids[inside[-1]] in specials.ids:
            continue
        probed.append(Probed(sentence, ids[:width], inside[-1], [ids[i] for i in inside]))
        kept.append(number)
    return probed, np.array(kept, dtype=np.int64)


def task_rows(task: Task, model: LanguageModel, config: StreamConfig) -> TaskRows:
    """Return one row per sentence, in order; of a task that is given as numbers, those.

    Raises:
        TaskError: the numbers are of another width than the model, or no sentence is left.
        ModelError: the model returns a value that is not finite.
    """
    if task.matrix is not None:
        return _given_rows(task, task.matrix, model)
    probed, kept = probed_sentences(task, model, config)
    if not probed:
        raise TaskError(f"The labels of all {len(task.sentences):,} sentences lie beyond the window; give shorter texts.")
    # A text may be probed at several places and is run once.
    of_text: dict[tuple[int, ...], int] = {}
    window = torch.tensor([of_text.setdefault(tuple(one.token_ids), len(of_text)) for one in probed])
    windows = [Window(index, 0, list(ids), held_out=True) for index, ids in enumerate(of_text)]
    width = window_width(model.tokenizer, config)
    places, row_place = torch.unique(window * width + torch.tensor([one.position for one in probed]), return_inverse=True)
    places = places.to(model.device)
    x = torch.zeros(len(places), model.d_model, device=model.device)
    texts = [""] * len(of_text)
    for text, one in zip(window.tolist(), probed, strict=True):
        texts[text] = one.sentence.text
    for found in blocks(windows, model, config):
        require_finite(found, model, lambda text, _: f"the text {texts[text]!r} of {task.title}")
        block, tokens = found
        here = tokens.document * width + tokens.position
        at = torch.searchsorted(places, here).clamp_max(len(places) - 1)
        hit = places[at] == here
        x[at[hit]] = block[: len(here)][hit]
    return TaskRows(probed, x[row_place.to(model.device)], kept, len(task.sentences) - len(kept))


def _given_rows(task: Task, matrix: Float32[np.ndarray, "row d_in"], model: LanguageModel) -> TaskRows:
    if matrix.shape[1] != model.d_model:
        raise TaskError(f"Its rows have {matrix.shape[1]:,} numbers, those of {model.name} {model.d_model:,}.")
    probed = [Probed(sentence, [], 0, []) for sentence in task.sentences]
    return TaskRows(probed, torch.from_numpy(matrix).to(model.device), np.arange(len(probed)), 0)


def row_firings(x: Float[Tensor, "row d_in"], smixae: Smixae) -> Firings:
    """Return the firings of all rows, run through the encoder in blocks of the one recorded size."""
    found, start = [], 0
    for block, n in row_blocks(x):
        token, expert, code = smixae.firings(block)
        real = token < n
        found.append((token[real] + start, expert[real], code[real]))
        start += n
    return Firings(*(torch.cat(columns) for columns in zip(*found, strict=True)))


def label_embeddings(rows: TaskRows, model: LanguageModel) -> Float[Tensor, "row d_embedding"] | None:
    """Return the mean static word embedding of each row's label tokens; None for rows that have no text."""
    if not all(one.label_ids for one in rows.probed):
        return None
    labels = (torch.tensor(one.label_ids, device=model.device) for one in rows.probed)
    return torch.stack([model.embeddings[ids].float().mean(dim=0) for ids in labels])


def label_occurrences(rows: TaskRows, labels: Sequence[str], counts: Int64[Tensor, "vocabulary"] | None) -> list[float]:
    """Return how often each label occurs, by exact counts of single tokens; NaN where it is several, or nothing is known."""
    spelled: list[set[int]] = [set() for _ in labels]
    for one in rows.probed:
        sentence = one.sentence
        is_named = sentence.text[sentence.start : sentence.end] == labels[sentence.label]
        if is_named and len(one.label_ids) == 1:
            spelled[sentence.label].add(one.label_ids[0])
    return [float("nan") if counts is None or not ids else float(sum(int(counts[i]) for i in ids)) for ids in spelled]
