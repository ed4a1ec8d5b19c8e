"""What accumulators are given: the real rows of some blocks, one after the other, and all firings on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from atlas.activations.stream import Tokens
from atlas.dictionary import Firings
from atlas.harvest.keys import firing_hashes, keys, token_hashes
from atlas.harvest.observed import Encoded, Observed, before_last_window, joined, observe
from observations import CORPUS, N_CHUNKS, SEED, Block, batches, bits, chunk, encoded

SHAPES = [(1, 1), (5, 3), (300, 2)]


def padded(block: Block, n: int) -> Block:
    """A block with so many padding rows behind it, on each of which every expert fires."""
    n_experts = int(block.firings.expert.max()) + 1
    token = torch.arange(n).repeat_interleave(n_experts) + len(block.tokens.document)
    expert = torch.arange(n_experts).repeat(n)
    code = torch.ones(len(token), block.firings.code.shape[1])
    return block._replace(
        firings=Firings(*(torch.cat(pair) for pair in zip(block.firings, (token.int(), expert.int(), code), strict=True)))
    )


def observed(blocks: list[Block]) -> Observed:
    return observe(joined([encoded(block) for block in blocks]), SEED, CORPUS)


def assert_same(a: Observed, b: Observed) -> None:
    for one, other in zip((*a.tokens, *a[1:]), (*b.tokens, *b[1:]), strict=True):
        assert torch.equal(bits(one), bits(other))


@pytest.mark.parametrize(("n_experts", "d_code"), SHAPES)
def test_blocks_stand_one_after_the_other(n_experts: int, d_code: int) -> None:
    blocks = [chunk(number, n_experts, d_code) for number in range(N_CHUNKS)]

    seen = observed(blocks)

    expected, before = [], 0
    for tokens, firings in blocks:
        rows = zip(firings.token.tolist(), firings.expert.tolist(), firings.code.tolist(), strict=True)
        expected += [(before + row, expert, code) for row, expert, code in rows]
        before += len(tokens.document)
    assert list(zip(seen.row.tolist(), seen.expert.tolist(), seen.code.tolist(), strict=True)) == expected
    for name, column in seen.tokens._asdict().items():
        assert column.tolist() == [value for tokens, _ in blocks for value in getattr(tokens, name).tolist()]
    assert (seen.row.dtype, seen.expert.dtype) == (torch.int64, torch.int64)


def test_firings_on_padding_rows_are_left_out() -> None:
    blocks = [chunk(number, 5, 3) for number in range(3)]

    assert_same(observed([padded(block, 4) for block in blocks]), observed(blocks))


@pytest.mark.parametrize(("n_experts", "d_code"), SHAPES)
def test_norm_and_keys_are_those_of_the_firing_alone(n_experts: int, d_code: int) -> None:
    tokens, firings = chunk(1, n_experts, d_code)

    (seen,) = batches(1, n_experts, d_code)

    np.testing.assert_allclose(seen.norm, np.sqrt((firings.code.double().numpy() ** 2).sum(axis=1)), rtol=1e-6)
    hashes = token_hashes(SEED, CORPUS, tokens)
    assert torch.equal(seen.token_key, keys(hashes))
    assert torch.equal(seen.key, keys(firing_hashes(hashes[firings.token.long()], firings.expert.long())))


@pytest.mark.parametrize(("n_experts", "d_code"), SHAPES)
def test_bits_do_not_depend_on_the_batch(n_experts: int, d_code: int) -> None:
    (whole,) = batches(2, n_experts, d_code)

    parts = batches(2, n_experts, d_code, [0.1, 0.4, 0.45, 0.9])

    assert len(parts) >= 3
    for name in ("token_key", "expert", "code", "norm", "key", "gain"):
        assert torch.equal(bits(torch.cat([getattr(part, name) for part in parts])), bits(getattr(whole, name)))


def test_rows_without_a_firing_are_rows_all_the_same() -> None:
    tokens, firings = chunk(0, 5, 3)
    none = Firings(*(column[:0] for column in firings))

    seen = observed([Block(tokens, none), Block(Tokens(*(column[:2] for column in tokens)), none)])

    assert len(seen.tokens.document) == len(seen.token_key) == len(tokens.document) + 2
    assert (len(seen.row), seen.code.shape) == (0, (0, 3))


@pytest.mark.parametrize(("n_experts", "d_code"), SHAPES)
def test_last_window_is_held_back_and_nothing_else(n_experts: int, d_code: int) -> None:
    whole = joined([encoded(chunk(number, n_experts, d_code)) for number in (0, 1)])

    before, last = before_last_window(whole)

    where = [list(zip(part.tokens.document.tolist(), part.tokens.window.tolist(), strict=True)) for part in (before, last)]
    assert len(set(where[1])) == 1 and where[0] and where[1][0] not in where[0]
    for part in (before, last):
        assert isinstance(part, Encoded) and 0 <= int(part.firings.token.min()) <= int(part.firings.token.max())
    assert_same(observe(joined([before, last]), SEED, CORPUS), observe(whole, SEED, CORPUS))


def test_batch_of_one_window_is_held_back_whole() -> None:
    tokens, firings, gain = encoded(chunk(0, 5, 3))
    n = int(((tokens.document == tokens.document[0]) & (tokens.window == 0)).sum())
    here = firings.token < n
    one = Encoded(Tokens(*(column[:n] for column in tokens)), Firings(*(column[here] for column in firings)), gain[here])

    before, last = before_last_window(one)

    assert len(before.tokens.document) == len(before.firings.token) == 0
    assert len(last.tokens.document) == n
