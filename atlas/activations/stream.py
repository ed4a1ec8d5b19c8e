"""Chunks of documents to blocks of residual-stream rows, each row with its window and position.

What a block holds depends on the chunk and the recorded settings alone: windows are padded to the next multiple of 32 tokens,
run in batches of one length, and their rows go out in blocks of one fixed size, the last one filled with zero rows. A short
block would change the bits of a matrix product, and another padding those of a transformer.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor
from torch.nn.functional import pad

from atlas.activations.corpus import Document
from atlas.activations.model import LanguageModel, Specials
from atlas.errors import ConfigError, ModelError

T = TypeVar("T")

PADDING_STEP = 32
"""Windows are padded to a multiple of this many tokens."""

BLOCK_ROWS = {"cpu": 256, "cuda": 4096}
"""Rows that go to the encoder at once, per kind of device."""


@dataclass(frozen=True)
class StreamConfig:
    """How text becomes rows. All of it is recorded: another value gives other bits."""

    window_tokens: int = 128
    """Tokens of a window, special tokens included."""
    model_batch: int = 32
    """Windows that the language model runs at once."""


class Window(NamedTuple):
    """A run of consecutive tokens of one document, special tokens left out."""

    document: int
    """Ordinal of the document in the corpus."""
    ordinal: int
    """Which window of its document."""
    token_ids: list[int]
    held_out: bool
    """The dictionary was not trained on it."""

    @property
    def content(self) -> int:
        """A 63-bit hash of the token ids: windows of equal text have equal content."""
        raw = np.asarray(self.token_ids, dtype=np.int32).tobytes()
        return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little") >> 1


class Tokens(NamedTuple):
    """What is known of each row of a block besides its vector; one entry per real row, padding rows left out."""

    document: Int64[Tensor, "token"]
    window: Int32[Tensor, "token"]
    """Ordinal of the window in its document."""
    position: Int32[Tensor, "token"]
    """Index into the window's tokens, special tokens not counted."""
    token_id: Int32[Tensor, "token"]
    content: Int64[Tensor, "token"]
    """Hash of the window's token ids."""
    held_out: Bool[Tensor, "token"]


class Padded(NamedTuple):
    """Windows as the model takes them, padded to one length; on the CPU."""

    ids: Int64[Tensor, "window position"]
    attended: Int64[Tensor, "window position"]
    """1 on the window and its special tokens, 0 on padding."""
    kept: Bool[Tensor, "window position"]
    """The token is text: no padding, and no special token, not even one that the text spells out."""


class Block(NamedTuple):
    """Rows for the encoder: always `BLOCK_ROWS` of them, the first `len(tokens.document)` real, the others zero."""

    x: Float[Tensor, "row d_in"]
    tokens: Tokens


def chunk_windows(chunk: Iterable[Document], tokenizer: Any, config: StreamConfig) -> list[Window]:
    """Return the windows of a chunk, in order; windows never cross documents.

    Special tokens are not among them, but for those that the text spells out: these are context, and give no row.
    """
    width = window_width(tokenizer, config)
    windows = []
    for document in chunk:
        ids = document.tokens(tokenizer)
        for ordinal, start in enumerate(range(0, len(ids), width)):
            windows.append(Window(document.ordinal, ordinal, ids[start : start + width], document.held_out))
    return windows


def window_width(tokenizer: Any, config: StreamConfig) -> int:
    """Return how many tokens of text fit into a window beside the special ones.

    Raises:
        ConfigError: none does.
    """
    specials = Specials(tokenizer)
    around = len(specials.prefix) + len(specials.suffix)
    if config.window_tokens <= around:
        raise ConfigError(f"window_tokens is {config.window_tokens}; {around} special tokens leave no room for text in it.")
    return config.window_tokens - around


def blocks(windows: list[Window], model: LanguageModel, config: StreamConfig) -> Iterator[Block]:
    """Yield the rows of all windows of one chunk as fixed-size blocks, special tokens and padding left out."""
    if model.max_tokens is not None and config.window_tokens > model.max_tokens:
        raise ConfigError(f"window_tokens is {config.window_tokens}; '{model.name}' reads at most {model.max_tokens}.")
    specials = model.specials
    size = BLOCK_ROWS[model.device.type]
    rows: list[Tensor] = []
    tokens: list[Tokens] = []
    held = 0
    for batch in batches(windows, model.tokenizer, config):
        batch_rows, batch_tokens = _run(batch, model, specials)
        rows.append(batch_rows)
        tokens.append(batch_tokens)
        held += len(batch_rows)
        if held >= size:
            x, about = torch.cat(rows), _cat(tokens)
            whole = held - held % size
            for start in range(0, whole, size):
                yield Block(x[start : start + size], Tokens(*(column[start : start + size] for column in about)))
            rows, tokens, held = [x[whole:]], [Tokens(*(column[whole:] for column in about))], held - whole
    if held:
        x = torch.cat(rows)
        filled = torch.zeros(size, x.shape[1], dtype=x.dtype, device=x.device)
        filled[:held] = x
        yield Block(filled, _cat(tokens))


def row_blocks(x: Float[Tensor, "row d_in"]) -> Iterator[tuple[Float[Tensor, "row_of_block d_in"], int]]:
    """Yield rows in blocks of the one recorded size, with how many of each are real."""
    size = BLOCK_ROWS[x.device.type]
    for start in range(0, len(x), size):
        part = x[start : start + size]
        yield pad(part, (0, 0, 0, size - len(part))), len(part)


def batches(windows: list[Window], tokenizer: Any, config: StreamConfig) -> Iterator[list[Window]]:
    """Yield windows in batches of one padded length, shortest first, in corpus order within a length."""
    specials = Specials(tokenizer)
    by_length: dict[int, list[Window]] = {}
    for window in windows:
        length = len(specials.wrap(window.token_ids))
        by_length.setdefault(-(-length // PADDING_STEP) * PADDING_STEP, []).append(window)
    for _, same in sorted(by_length.items()):
        for start in range(0, len(same), config.model_batch):
            yield same[start : start + config.model_batch]


def padded(batch: list[Window], specials: Specials) -> Padded:
    """Return a batch's windows between special tokens, padded to the next multiple of 32 tokens."""
    wrapped = [specials.wrap(window.token_ids) for window in batch]
    width = -(-max(map(len, wrapped)) // PADDING_STEP) * PADDING_STEP
    ids = torch.full((len(batch), width), specials.pad)
    attended = torch.zeros_like(ids)
    kept = torch.zeros(ids.shape, dtype=torch.bool)
    first = len(specials.prefix)
    for row, (window, whole) in enumerate(zip(batch, wrapped, strict=True)):
        ids[row, : len(whole)] = torch.tensor(whole)
        attended[row, : len(whole)] = 1
        # Text may spell a special token out; it is not evidence either.
        kept[row, first : first + len(window.token_ids)] = torch.tensor([i not in specials.ids for i in window.token_ids])
    return Padded(ids, attended, kept)


def ahead(items: Iterable[T], n: int = 1) -> Generator[T]:
    """Yield items in order, while a thread of its own makes up to `n` of those that come next.

    What making an item raises is raised in its place. Once this ends, is closed or is interrupted, the thread has ended: it
    finishes the item that it is at and begins no other.
    """
    source = iter(items)
    end = object()
    maker = ThreadPoolExecutor(1)
    try:
        waiting = deque(maker.submit(next, source, end) for _ in range(n))
        while True:
            waiting.append(maker.submit(next, source, end))
            item = waiting.popleft().result()
            if item is end:
                return
            yield cast(T, item)
    finally:
        maker.shutdown(cancel_futures=True)


Place = Callable[[int, int], str]
"""A document's ordinal and a window's ► where in the text that is, in words."""


def of_corpus(name: str) -> Place:
    """Return what names a place in a corpus."""
    return lambda document, window: f"window {window} of document {document} of '{name}' (both from 0)"


def require_finite(block: Block, model: LanguageModel, place: Place) -> None:
    """Raise ModelError, with the first place of one that is not, unless all values of a block are finite."""
    tokens = block.tokens
    finite = block.x[: len(tokens.document)].isfinite().all(dim=1)
    if not bool(finite.all()):
        row = int((~finite).nonzero()[0])
        where = place(int(tokens.document[row]), int(tokens.window[row]))
        mend = "Leave that text out, or fetch the model anew" if model.dtype == "float32" else "Try --dtype float32"
        raise ModelError(f"'{model.name}' returned values that are not finite for {where}. {mend}.")


def _run(batch: list[Window], model: LanguageModel, specials: Specials) -> tuple[Tensor, Tokens]:
    """Return the rows of a batch's own tokens, in window order, and what is known of them."""
    ids, attended, kept = padded(batch, specials)
    device = model.device
    # Found here, so that a GPU is not waited for to count them.
    at, position = kept.nonzero(as_tuple=True)
    x = model.rows(_sent(ids, device), _sent(attended, device))[_sent(at, device), _sent(position, device)]

    def column(values: list[Any], dtype: torch.dtype) -> Tensor:
        return _sent(torch.tensor(values, dtype=dtype)[at], device)

    return x, Tokens(
        document=column([window.document for window in batch], torch.int64),
        window=column([window.ordinal for window in batch], torch.int32),
        position=_sent((position - len(specials.prefix)).int(), device),
        token_id=_sent(ids[at, position].int(), device),
        content=column([window.content for window in batch], torch.int64),
        held_out=column([window.held_out for window in batch], torch.bool),
    )


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU on a device, without waiting for what a GPU has still to do."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _cat(parts: list[Tokens]) -> Tokens:
    return Tokens(*(torch.cat(columns) for columns in zip(*parts, strict=True)))
