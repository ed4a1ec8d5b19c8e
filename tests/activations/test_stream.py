"""Every token of the text reaches the encoder once, in blocks of one size, with the row that its window alone would give."""

from __future__ import annotations

import gc
import signal
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import tiny
from atlas.activations.corpus import Document
from atlas.activations.model import LanguageModel, Specials, load_tokenizer
from atlas.activations.stream import (
    BLOCK_ROWS,
    Block,
    StreamConfig,
    Window,
    ahead,
    blocks,
    chunk_windows,
    of_corpus,
    padded,
    require_finite,
)
from atlas.errors import AtlasError, ConfigError, CorpusError, ModelError

SIZE = BLOCK_ROWS["cpu"]
CONFIG = StreamConfig(window_tokens=40, model_batch=4)
AROUND = {
    "GPT2LMHeadModel": ([], []),
    "LlamaForCausalLM": (["<s>"], []),
    "BertModel": (["[CLS]"], ["[SEP]"]),
    "Gemma2ForCausalLM": (["<bos>"], []),
    "Gemma3ForCausalLM": (["<bos>"], []),
    "Qwen3ForCausalLM": ([], []),
    "GPTNeoXForCausalLM": ([], []),
}
"""Tokens that each tiny model's tokenizer puts before and behind a window."""


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def tiny_model(request: pytest.FixtureRequest, models: dict[str, Path]) -> LanguageModel:
    """A tiny model of every family, cut after its second block."""
    return LanguageModel.load(str(models[request.param]), tiny.HOOKS[request.param])


def documents(model: LanguageModel) -> list[Document]:
    """Short documents, a long one, an empty one, one that comes twice, and one that spells the special tokens out."""
    short = tiny.documents(14)
    spelled = f"the atlas {' '.join(model.tokenizer.all_special_tokens)} holds 42 tokens"
    texts = [*short, " ".join(short[:4]), "", short[3], spelled]
    return [Document(100 + i, text, i % 3 == 0) for i, text in enumerate(texts)]


def around(model: LanguageModel) -> tuple[list[int], list[int]]:
    before, behind = AROUND[model.class_name]
    return model.tokenizer.convert_tokens_to_ids(before), model.tokenizer.convert_tokens_to_ids(behind)


def naive_windows(model: LanguageModel) -> list[tuple[int, int, list[int]]]:
    """(document, window, token ids), cut from each document by itself."""
    before, behind = around(model)
    width = CONFIG.window_tokens - len(before) - len(behind)
    cut = []
    for document in documents(model):
        left, ordinal = model.tokenizer(document.text, add_special_tokens=False)["input_ids"], 0
        while left:
            cut.append((document.ordinal, ordinal, left[:width]))
            left, ordinal = left[width:], ordinal + 1
    return cut


def streamed(model: LanguageModel) -> list[Block]:
    return list(blocks(chunk_windows(documents(model), model.tokenizer, CONFIG), model, CONFIG))


@pytest.fixture(scope="module")
def found(tiny_model: LanguageModel) -> list[Block]:
    """The blocks of all documents."""
    return streamed(tiny_model)


def places(found: list[Block]) -> list[tuple[int, int, int]]:
    """(document, window, position) of every row, in the order of the rows."""
    return [
        place
        for block in found
        for place in zip(
            block.tokens.document.tolist(), block.tokens.window.tolist(), block.tokens.position.tolist(), strict=True
        )
    ]


def special_ids(model: LanguageModel) -> set[int]:
    """Tokens that are no text. That for an unknown word stands for text, unless it ends texts too, as in GPT-2."""
    tokenizer = model.tokenizer
    ids = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.mask_token_id}
    return (ids | {tokenizer.cls_token_id, tokenizer.sep_token_id}) - {None}


def test_windows_cut_each_document_by_itself(tiny_model: LanguageModel) -> None:
    windows = chunk_windows(documents(tiny_model), tiny_model.tokenizer, CONFIG)

    assert [(window.document, window.ordinal, window.token_ids) for window in windows] == naive_windows(tiny_model)
    assert max(window.ordinal for window in windows) > 0, "one document must be longer than a window"
    held_out = {document.ordinal: document.held_out for document in documents(tiny_model)}
    assert all(window.held_out == held_out[window.document] for window in windows)


def test_tokenised_documents_give_the_windows_of_their_text(tiny_model: LanguageModel) -> None:
    def stored(document: Document) -> Document:
        """The document as a tokenizer writes it, with its special tokens."""
        return document._replace(text="", token_ids=tuple(tiny_model.tokenizer(document.text)["input_ids"]))

    as_text = [document for document in documents(tiny_model) if document.text != documents(tiny_model)[-1].text]

    windows = chunk_windows(map(stored, as_text), tiny_model.tokenizer, CONFIG)

    assert windows == chunk_windows(as_text, tiny_model.tokenizer, CONFIG) and len(windows) > len(as_text)


def test_every_token_comes_once_with_its_place(tiny_model: LanguageModel, found: list[Block]) -> None:
    special = special_ids(tiny_model)
    expected = [
        (document, window, position, token)
        for document, window, ids in naive_windows(tiny_model)
        for position, token in enumerate(ids)
        if token not in special
    ]

    token_ids = [token for block in found for token in block.tokens.token_id.tolist()]

    assert sorted((*place, token) for place, token in zip(places(found), token_ids, strict=True)) == expected


def test_special_tokens_never_come_even_where_the_text_spells_them(tiny_model: LanguageModel, found: list[Block]) -> None:
    special = special_ids(tiny_model)
    spelled = {token for _, _, ids in naive_windows(tiny_model) for token in ids} & special

    token_ids = torch.cat([block.tokens.token_id for block in found])

    assert spelled, "the text must hold some"
    assert not special.intersection(token_ids.tolist())


def test_blocks_have_one_size_and_end_in_zero_rows(found: list[Block]) -> None:
    real = [len(block.tokens.document) for block in found]
    assert len(found) > 1 and real[:-1] == [SIZE] * (len(found) - 1) and 0 < real[-1] <= SIZE
    assert all(block.x.shape == (SIZE, tiny.D_MODEL) for block in found)
    assert all(len(column) == n for block, n in zip(found, real, strict=True) for column in block.tokens)
    assert not found[-1].x[real[-1] :].any()
    assert all(block.x[:n].any(dim=1).all() for block, n in zip(found, real, strict=True))


def test_rows_are_those_of_each_window_run_alone_without_padding(tiny_model: LanguageModel, found: list[Block]) -> None:
    before, behind = around(tiny_model)
    alone = {}
    for document, window, ids in naive_windows(tiny_model):
        whole = torch.tensor([[*before, *ids, *behind]])
        for position, row in enumerate(tiny_model.rows(whole, torch.ones_like(whole))[0][len(before) :]):
            alone[document, window, position] = row

    rows = torch.cat([block.x[: len(block.tokens.document)] for block in found])
    torch.testing.assert_close(rows, torch.stack([alone[place] for place in places(found)]), atol=1e-4, rtol=0)


def test_same_chunk_gives_the_same_bits(tiny_model: LanguageModel, found: list[Block]) -> None:
    again = streamed(tiny_model)

    for one, two in zip(found, again, strict=True):
        assert torch.equal(one.x, two.x)
        assert all(torch.equal(a, b) for a, b in zip(one.tokens, two.tokens, strict=True))


def test_windows_of_equal_text_have_equal_content(bert: LanguageModel) -> None:
    windows = chunk_windows(documents(bert), bert.tokenizer, CONFIG)
    texts = Counter(tuple(window.token_ids) for window in windows)

    contents = Counter(window.content for window in windows)

    assert sorted(contents.values()) == sorted(texts.values()) and max(texts.values()) == 2
    assert all(0 <= content < 2**63 for content in contents)


def test_rows_carry_their_windows_content_and_whether_it_is_held_out(bert: LanguageModel) -> None:
    windows = {(w.document, w.ordinal): w for w in chunk_windows(documents(bert), bert.tokenizer, CONFIG)}

    found = streamed(bert)

    content = torch.cat([block.tokens.content for block in found]).tolist()
    held_out = torch.cat([block.tokens.held_out for block in found]).tolist()
    assert content == [windows[place[:2]].content for place in places(found)]
    assert held_out == [windows[place[:2]].held_out for place in places(found)]


def test_exactly_full_blocks_are_followed_by_none(bert: LanguageModel) -> None:
    token = bert.tokenizer.convert_tokens_to_ids("the")
    windows = [Window(i, 0, [token] * 32, False) for i in range(3 * SIZE // 32)]

    # One run of the model fills three blocks.
    found = list(blocks(windows, bert, StreamConfig(window_tokens=40, model_batch=32)))

    assert [len(block.tokens.document) for block in found] == [SIZE, SIZE, SIZE]
    assert places(found) == [(window, 0, position) for window in range(len(windows)) for position in range(32)]


def test_text_without_tokens_gives_no_blocks(bert: LanguageModel) -> None:
    assert list(blocks(chunk_windows([Document(0, " ", False)], bert.tokenizer, CONFIG), bert, CONFIG)) == []


def test_document_of_one_token_gives_one_row(tiny_model: LanguageModel) -> None:
    token = tiny_model.tokenizer.encode("42", add_special_tokens=False)[-1]
    one = Document(7, "", False, (token,))

    (block,) = blocks(chunk_windows([one], tiny_model.tokenizer, CONFIG), tiny_model, CONFIG)

    assert places([block]) == [(7, 0, 0)] and block.tokens.token_id.tolist() == [token]
    assert block.x[0].any() and not block.x[1:].any()


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("text", ["the model reads 42 tokens\n", "a🙂"], ids=["words", "one long word"])
def test_long_document_is_cut_in_time_and_memory_that_grow_with_it(kind: str, text: str, models: dict[str, Path]) -> None:
    tokenizer = load_tokenizer(str(models[kind]))

    def cut(n_tokens: int) -> tuple[int, float, int]:
        """How many tokens the windows hold, the seconds and the most bytes that Python took."""
        repeated = text * (n_tokens // len(tokenizer.encode(text, add_special_tokens=False)))
        gc.collect()
        tracemalloc.start()
        started = time.process_time()
        windows = chunk_windows([Document(0, repeated, False)], tokenizer, CONFIG)
        took = time.process_time() - started
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert [window.ordinal for window in windows] == list(range(len(windows)))
        return sum(len(window.token_ids) for window in windows), took, peak

    (few, shorter, little), (many, longer, much) = cut(20_000), cut(200_000)

    assert longer < 40 * shorter + 0.5 and longer < 10
    assert much < 14 * little
    assert kind == "bert" or many > 9 * few


# Items made ahead


def running() -> set[threading.Thread]:
    return set(threading.enumerate())


@pytest.mark.parametrize("n", [0, 1, 3])
def test_items_come_in_order_with_so_many_made_ahead(n: int) -> None:
    before = running()
    makers: set[threading.Thread] = set()
    made = threading.Semaphore(0)
    count = 0

    def numbers() -> Iterator[int]:
        nonlocal count
        for i in range(8):
            makers.add(threading.current_thread())
            count += 1
            made.release()
            yield i

    for i, item in enumerate(ahead(numbers(), n)):
        for _ in range(1 if i else min(8, n + 1)):
            if i + n < 8:
                assert made.acquire(timeout=5)
        assert (item, count) == (i, min(8, i + n + 1)), "so many and no more"

    assert i == 7 and len(makers) == 1
    assert threading.main_thread() not in makers and running() == before


def test_next_item_is_made_while_one_is_used() -> None:
    used = threading.Event()

    def two() -> Iterator[str]:
        yield "first"
        # Waited for here: made only once the first is in use.
        assert used.wait(5)
        yield "second"

    items = ahead(two())
    assert next(items) == "first"
    used.set()

    assert list(items) == ["second"]


def test_exception_comes_in_the_place_of_its_item() -> None:
    before = running()

    def broken() -> Iterator[int]:
        yield from range(3)
        raise CorpusError("Line 4 of 'a.txt' is not text.")

    seen = []
    with pytest.raises(CorpusError, match=r"^Line 4 of 'a\.txt' is not text\.$"):
        for item in ahead(broken(), 2):
            seen.append(item)

    assert seen == [0, 1, 2] and running() == before


@pytest.mark.parametrize("how", ["closed", "left by an error", "interrupted"])
def test_thread_ends_where_the_consumer_stops_early(how: str) -> None:
    before = running()
    made = []

    def endless() -> Iterator[int]:
        while True:
            made.append(len(made))
            yield made[-1]

    items = ahead(endless(), 2)
    assert [next(items) for _ in range(4)] == [0, 1, 2, 3]
    if how == "closed":
        items.close()
    else:
        error = KeyboardInterrupt if how == "interrupted" else ValueError
        with pytest.raises(error):
            items.throw(error)

    assert running() == before
    assert len(made) <= 6
    with pytest.raises(StopIteration):
        next(items)


def test_interrupt_while_an_item_is_waited_for_ends_the_thread() -> None:
    before = running()
    released = threading.Event()

    def slow() -> Iterator[int]:
        yield 0
        signal.raise_signal(signal.SIGINT)
        assert released.wait(5)
        yield 1

    def release() -> None:
        released.set()

    items = ahead(slow(), 0)
    assert next(items) == 0
    timer = threading.Timer(0.2, release)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        next(items)
    timer.join()

    assert running() == before


def test_nothing_is_begun_before_the_first_item_is_asked_for() -> None:
    before = running()
    items = ahead(iter([1]))

    assert running() == before
    assert list(items) == [1] and list(ahead([])) == []


@pytest.mark.parametrize("window_tokens", [2, 1, 0], ids=["special tokens only", "not even those", "nothing"])
def test_window_without_room_for_a_token_is_refused(window_tokens: int, bert: LanguageModel) -> None:
    with pytest.raises(ConfigError, match=f"window_tokens is {window_tokens}"):
        chunk_windows(documents(bert), bert.tokenizer, StreamConfig(window_tokens=window_tokens))


def test_window_longer_than_the_model_reads_is_refused(bert: LanguageModel) -> None:
    longer = StreamConfig(window_tokens=200)
    windows = [Window(0, 0, [bert.tokenizer.convert_tokens_to_ids("the")] * 198, False)]

    with pytest.raises(AtlasError, match="128"):
        list(blocks(windows, bert, longer))


def test_padded_windows_stand_between_their_special_tokens(tiny_model: LanguageModel) -> None:
    before, behind = around(tiny_model)
    special = special_ids(tiny_model)
    batch = chunk_windows(documents(tiny_model), tiny_model.tokenizer, CONFIG)

    ids, attended, kept = padded(batch, Specials(tiny_model.tokenizer))

    assert ids.shape == attended.shape == kept.shape == (len(batch), 64)
    for row, window in enumerate(batch):
        whole = [*before, *window.token_ids, *behind]
        assert ids[row, : len(whole)].tolist() == whole
        assert attended[row].tolist() == [1] * len(whole) + [0] * (64 - len(whole))
        text = [token not in special for token in window.token_ids]
        assert kept[row].tolist() == [False] * len(before) + text + [False] * (64 - len(before) - len(text))


def test_value_that_is_not_finite_is_refused_with_its_document(bert: LanguageModel, found: list[Block]) -> None:
    for block in found:
        require_finite(block, bert, of_corpus("text.jsonl"))
    block = found[1]
    for value, row in ((float("nan"), 70), (float("inf"), 200)):
        x = block.x.clone()
        x[row, 3] = value
        document, window = int(block.tokens.document[row]), int(block.tokens.window[row])
        named = rf"not finite for window {window} of document {document} of 'text.jsonl' \(both from 0\)\. Leave that text out"

        with pytest.raises(ModelError, match=named):
            require_finite(block._replace(x=x), bert, of_corpus("text.jsonl"))


def test_model_of_a_shorter_dtype_that_overflows_says_what_helps(models: dict[str, Path]) -> None:
    short = LanguageModel.load(str(models["bert"]), tiny.HOOKS["bert"], dtype=torch.float16)
    block = next(iter(streamed(short)))
    block.x[0] = float("inf")

    with pytest.raises(ModelError, match=r"\. Try --dtype float32\.$"):
        require_finite(block, short, of_corpus("text.jsonl"))
