"""A small corpus with firings made by hand, which can be cut into batches anywhere, and the same firings as plain records.

Expert 0 fires on every token, the last of several never. Norms and window contents are few, so that both come again and again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from safetensors.torch import load, save

from atlas.activations.corpus import Document
from atlas.activations.stream import Tokens
from atlas.dictionary import Firings
from atlas.harvest.observed import Encoded, Observed, observe

THRESHOLD = 0.4
"""All norms are above it."""
WINDOW_TOKENS = 9
N_VOCABULARY = 11
N_CHUNKS = 5
DOCUMENTS_OF_CHUNK = 3
SEED, CORPUS = 5, "by hand"
CPU = torch.device("cpu")


class Block(NamedTuple):
    """Tokens in order and the firings on them, sorted by (token, expert)."""

    tokens: Tokens
    firings: Firings


class Firing(NamedTuple):
    """One firing, as plain numbers."""

    expert: int
    key: int
    norm: float
    content: int
    document: int
    window: int
    position: int
    token_id: int
    held_out: bool
    code: tuple[float, ...]
    gain: float
    """NaN on tokens that are not held out."""
    token: tuple[int, int]
    """Chunk and row: the token that it is on."""


@cache
def chunk(number: int, n_experts: int, d_code: int) -> Block:
    """One chunk: documents of one to three windows of one to nine tokens, every second document held out."""
    rng = np.random.default_rng([number, n_experts, d_code])
    first = number * DOCUMENTS_OF_CHUNK
    windows = [
        (document, window, int(rng.integers(1, WINDOW_TOKENS + 1)), int(rng.integers(0, 6)))
        for document in range(first, first + DOCUMENTS_OF_CHUNK)
        for window in range(rng.integers(1, 4))
    ]
    rows = [(document, window, position, content) for document, window, n, content in windows for position in range(n)]
    document, window, position, content = (torch.tensor(column) for column in zip(*rows, strict=True))
    token_id = torch.from_numpy(rng.integers(0, N_VOCABULARY, len(rows))).int()
    tokens = Tokens(document, window.int(), position.int(), token_id, content, document % 2 == 0)

    fires = rng.random((len(rows), n_experts)) < np.linspace(0.5, 0.1, n_experts)
    if n_experts > 1:
        fires[:, -1] = False
    fires[:, 0] = True
    token, expert = (torch.from_numpy(column).int() for column in np.nonzero(fires))
    sizes = rng.choice([0.5, 1.0, 1.5, 40.0], (len(token), d_code)) * rng.choice([-1.0, 1.0], (len(token), d_code))
    return Block(tokens, Firings(token, expert, torch.from_numpy(sizes).float()))


def documents(number: int) -> list[Document]:
    """The documents of a chunk."""
    first = number * DOCUMENTS_OF_CHUNK
    return [Document(ordinal, "", ordinal % 2 == 0) for ordinal in range(first, first + DOCUMENTS_OF_CHUNK)]


def batches(number: int, n_experts: int, d_code: int, cuts: Sequence[float] = ()) -> list[Observed]:
    """A chunk in batches, cut at the windows that begin behind these shares of its rows."""
    tokens, firings, gain = encoded(chunk(number, n_experts, d_code))
    starts = [*(tokens.position == 0).nonzero()[:, 0].tolist(), len(tokens.document)]
    edges = sorted({0, len(tokens.document), *(starts[bisect_left(starts, cut * len(tokens.document))] for cut in cuts)})
    found = []
    for first, last in zip(edges, edges[1:], strict=False):
        here = (firings.token >= first) & (firings.token < last)
        part = Firings(firings.token[here] - first, firings.expert[here], firings.code[here])
        of_rows = Tokens(*(column[first:last] for column in tokens))
        found.append(observe(Encoded(of_rows, part, gain[here]), SEED, CORPUS))
    return found


def encoded(block: Block) -> Encoded:
    """A block whose firings on held-out tokens spare something."""
    held_out = block.tokens.held_out[block.firings.token.long().clamp_max(len(block.tokens.document) - 1)]
    spared = block.firings.code.sum(dim=1) - block.firings.expert
    return Encoded(*block, torch.where(held_out, spared, torch.nan))


@cache
def firings(n_experts: int, d_code: int, n_chunks: int = N_CHUNKS) -> list[Firing]:
    """Every firing of the corpus."""
    found = []
    for number in range(n_chunks):
        (seen,) = batches(number, n_experts, d_code)
        columns = {name: column.tolist() for name, column in seen.tokens._asdict().items()}
        of_row = list(zip(*columns.values(), strict=True))
        for row, expert, code, norm, key, gain in zip(*(column.tolist() for column in seen[2:]), strict=True):
            about: dict[str, Any] = dict(zip(columns, of_row[row], strict=True))
            found.append(Firing(expert, key, norm, code=tuple(code), gain=gain, token=(number, row), **about))
    return found


class Plan(NamedTuple):
    """A way to run the chunks: which machine runs which of them, in which order and batches, and where it is interrupted."""

    parts: list[list[int]]
    """Chunks by machine; some may have none."""
    cuts: dict[int, list[float]]
    """Of each chunk."""
    turned: set[int]
    """Chunks whose batches come in the opposite order."""
    saved: set[int]
    """Chunks after which the state is saved and read again."""
    nested: bool
    """The last two machines' results are merged with each other first."""


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Any way."""
    order = draw(st.permutations(range(N_CHUNKS)))
    owner = [draw(st.integers(0, 2)) for _ in order]
    share = st.floats(0, 1, exclude_max=True)
    some = st.sets(st.sampled_from(range(N_CHUNKS)))
    return Plan(
        parts=[[number for number, at in zip(order, owner, strict=True) if at == part] for part in range(3)],
        cuts={number: draw(st.lists(share, max_size=4)) for number in order},
        turned=draw(some),
        saved=draw(some),
        nested=draw(st.booleans()),
    )


def planned(plan: Plan, number: int, n_experts: int, d_code: int) -> list[Observed]:
    """The batches of one chunk."""
    found = batches(number, n_experts, d_code, plan.cuts[number])
    return found[::-1] if number in plan.turned else found


def stored(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state as it comes back from disk."""
    return load(save({name: value.contiguous() for name, value in state.items()}))


def differing(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> list[str]:
    """Names of what is not the same to the bit in two states."""
    assert a.keys() == b.keys()
    return [name for name in a if a[name].dtype != b[name].dtype or not torch.equal(bits(a[name]), bits(b[name]))]


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor as integers, so that NaN equals NaN."""
    return tensor.contiguous().view(torch.int32) if tensor.dtype == torch.float32 else tensor
