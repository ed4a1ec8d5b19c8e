"""A pool holds the rows of its chunks, no more than there is room for, in an order that depends on its seed alone."""

from __future__ import annotations

import pytest
import torch

from atlas.activations.corpus import Corpus
from atlas.activations.model import LanguageModel
from atlas.activations.pool import Pool, PoolReader
from atlas.activations.stream import StreamConfig, blocks, chunk_windows

STREAM = StreamConfig(window_tokens=48)


@pytest.fixture
def reader(bert: LanguageModel, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> PoolReader:
    monkeypatch.setattr("atlas.activations.corpus.CHUNK_CHARACTERS", 900)
    return PoolReader(bert, corpus, STREAM, carrier_share=0.0, seed=0)


def plain_rows(reader: PoolReader, held_out: bool) -> list[torch.Tensor]:
    """The rows of each chunk's documents of one kind."""
    found = []
    for chunk in reader.corpus.chunks():
        windows = chunk_windows([d for d in chunk if d.held_out == held_out], reader.model.tokenizer, STREAM)
        parts = [x[: len(tokens.token_id)] for x, tokens in blocks(windows, reader.model, STREAM)]
        found.append(torch.cat(parts) if parts else torch.zeros(0, reader.model.d_model))
    return found


def test_pools_follow_each_other_through_the_corpus(reader: PoolReader) -> None:
    chunks = plain_rows(reader, held_out=False)
    pools: list[Pool] = []
    first: int | None = 0
    while first is not None:
        pools.append(reader.read(first, 300))
        first = pools[-1].next_chunk

    assert len(pools) > 2
    for pool, after in zip(pools, [*pools[1:], None], strict=True):
        end = after.first_chunk if after else len(chunks)
        own = torch.cat(chunks[pool.first_chunk : end])
        assert torch.equal(pool.rows, own[:300])
        assert len(pool.rows) == 300 or after is None
        assert int(pool.vocabulary.sum()) == len(pool.rows)


def test_pool_does_not_depend_on_those_before_it(reader: PoolReader) -> None:
    second = reader.read(0, 300).next_chunk
    assert second is not None

    one, two = reader.read(second, 300), reader.read(second, 300)

    assert torch.equal(one.rows, two.rows) and one.sha256 == two.sha256 != reader.read(0, 300).sha256


def test_carriers_take_their_share_of_a_full_pool(bert: LanguageModel, corpus: Corpus) -> None:
    reader = PoolReader(bert, corpus, STREAM, carrier_share=0.1, seed=0)

    pool = reader.read(0, 300)

    assert len(pool.rows) == 300 and pool.carriers == 30
    assert torch.equal(pool.rows[:270], PoolReader(bert, corpus, STREAM, 0.0, 0).read(0, 270).rows)


def test_batches_hold_every_row_once_but_for_a_short_end(reader: PoolReader) -> None:
    pool = reader.read(0, 300)

    batches = list(pool.batches(64, seed=5))

    assert [len(batch) for batch in batches] == [64] * 4
    given = torch.cat(batches)
    assert len({tuple(row) for row in given.tolist()} - {tuple(row) for row in pool.rows.tolist()}) == 0
    order = torch.randperm(300, generator=torch.Generator().manual_seed(5))
    assert torch.equal(given, pool.rows[order[:256]])


def test_batches_can_be_passed_over(reader: PoolReader) -> None:
    pool = reader.read(0, 300)

    late, whole = list(pool.batches(64, seed=5, first=3)), list(pool.batches(64, seed=5))

    assert len(late) == 1 and torch.equal(late[0], whole[3])
    assert not torch.equal(whole[0], next(pool.batches(64, seed=6)))


def test_held_out_rows_are_of_held_out_documents(reader: PoolReader) -> None:
    own = torch.cat(plain_rows(reader, held_out=True))
    assert len(own) > 100

    assert torch.equal(reader.held_out(100), own[:100])
    assert torch.equal(reader.held_out(100_000), own)


def test_progress_counts_rows(reader: PoolReader) -> None:
    told: list[int] = []

    pool = reader.read(0, 300, told.append)

    assert told == sorted(told) and told[-1] == len(pool.rows)
