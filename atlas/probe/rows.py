"""A task's sentences, run through the language model: one residual-stream row each, at the token where the label ends."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from atlas.activations.model import LanguageModel, Specials
from atlas.activations.stream import StreamConfig, Window, blocks, row_blocks, window_width
from atlas.dictionary import Firings, Smixae
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
    dropped: int
    """Sentences whose label would have been cut off."""


def probed_sentences(task: Task, model: LanguageModel, config: StreamConfig) -> tuple[list[Probed], int]:
    """Return the task's sentences as tokens, and how many were dropped because the window ends before their label does."""
    width = window_width(model.tokenizer, config)
    specials = Specials(model.tokenizer)
    probed, dropped = [], 0
    for sentence in task.sentences():
        encoded = model.tokenizer(sentence.text, add_special_tokens=False, return_offsets_mapping=True)
        inside = [i for i, (a, b) in enumerate(encoded["offset_mapping"]) if a < sentence.end and b > sentence.start]
        if not inside or inside[-1] >= width or encoded["input_ids"][inside[-1]] in specials.ids:
            dropped += 1
            continue
        ids = encoded["input_ids"]
        probed.append(Probed(sentence, ids[:width], inside[-1], [ids[i] for i in inside]))
    return probed, dropped


def task_rows(task: Task, model: LanguageModel, config: StreamConfig) -> TaskRows:
    """Return one row per sentence, in order."""
    probed, dropped = probed_sentences(task, model, config)
    windows = [Window(index, 0, one.token_ids, held_out=True) for index, one in enumerate(probed)]
    position = torch.tensor([one.position for one in probed], device=model.device)
    x = torch.zeros(len(probed), model.d_model, device=model.device)
    for block, tokens in blocks(windows, model, config):
        here = tokens.position == position[tokens.document]
        x[tokens.document[here]] = block[: len(here)][here]
    return TaskRows(probed, x, dropped)


def row_firings(x: Float[Tensor, "row d_in"], smixae: Smixae) -> Firings:
    """Return the firings of all rows, run through the encoder in blocks of the one recorded size."""
    found, start = [], 0
    for block, n in row_blocks(x):
        token, expert, code = smixae.firings(block)
        real = token < n
        found.append((token[real] + start, expert[real], code[real]))
        start += n
    return Firings(*(torch.cat(columns) for columns in zip(*found, strict=True)))


def label_embeddings(rows: TaskRows, model: LanguageModel) -> Float[Tensor, "row d_embedding"]:
    """Return the mean static word embedding of each row's label tokens."""
    labels = (torch.tensor(one.label_ids, device=model.device) for one in rows.probed)
    return torch.stack([model.embeddings[ids].float().mean(dim=0) for ids in labels])


def label_occurrences(rows: TaskRows, n_labels: int, counts: Int64[Tensor, "vocabulary"] | None) -> list[float]:
    """Return how often each label occurs, by exact counts of single tokens; NaN where it is several, or nothing is known."""
    spelled: list[set[int]] = [set() for _ in range(n_labels)]
    for one in rows.probed:
        if len(one.label_ids) == 1:
            spelled[one.sentence.label].add(one.label_ids[0])
    return [float("nan") if counts is None or not ids else float(sum(int(counts[i]) for i in ids)) for ids in spelled]
