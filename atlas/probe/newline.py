"""Where in its line a token stands: characters since the last newline, in text that is wrapped at a width."""

from __future__ import annotations

import hashlib
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from atlas.activations.corpus import python_docs
from atlas.activations.model import LanguageModel, Specials
from atlas.activations.stream import StreamConfig, Window, blocks, window_width
from atlas.activations.vocabulary import token_bytes
from atlas.dictionary import Smixae
from atlas.errors import TaskError
from atlas.probe.config import ProbeConfig
from atlas.probe.scores import Fired, NewlineMeasures, NewlineSums
from atlas.probe.tasks import NEWLINE_TASKS, Hypothesis, Sentence, Task

TOKENS = 36_000
"""About how many labelled tokens there are; the reference has 36,860 and 49,443."""

DOCUMENT_TOKENS = 2_048
"""About how many tokens a document gives at most, as in the reference."""

MIN_LINES = 5
"""Widths that a document is longer than."""

MIN_DOCUMENTS = 18
"""Documents that a task needs: two in each group."""

N_GROUPS = 9
"""Groups that documents fall into."""

ROWS_OF_LABEL = 30
"""Tokens taken of each label at most."""

TRIED_CHARACTERS = 8
"""Characters per token that a window is first tried with; few tokens are longer."""


class NewlineWindow(NamedTuple):
    """Whole lines of a document, as many as fit into a window of the language model."""

    document: int
    """In the order in which documents are taken."""
    text: str
    token_ids: list[int]
    start: list[int]
    """First character of each token."""
    end: list[int]
    """One past its last."""
    since: list[int]
    """Characters since the last newline at the end of each token; 0 where that is not known, or the token is not probed."""


def newline_text(width: int, documents: Iterable[str]) -> list[str]:
    """Return each document as lines of at most `width` characters, each with as many words as fit; longer words are cut."""
    return ["\n".join(textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)) for text in documents]


def newline_windows(width: int, tokenizer: Any, config: StreamConfig, seed: int) -> list[NewlineWindow]:
    """Return windows of Python's documentation in lines of `width` characters, with about `TOKENS` labelled tokens.

    The documents are those that no dictionary trained here sees, and longer than `MIN_LINES` widths; they come in the order of a
    seeded hash.

    Raises:
        TaskError: a window of the model holds no two such lines.
    """
    known = [document.text for document in python_docs().read() if document.held_out]
    long = (text for text in known if len(" ".join(text.split())) > MIN_LINES * width)
    found: list[NewlineWindow] = []
    n_tokens = n_documents = 0
    for text in sorted(long, key=lambda text: _hash(f"{seed} {text}")):
        if n_tokens >= TOKENS:
            break
        if windows := list(_windows(n_documents, newline_text(width, [text])[0].split("\n"), tokenizer, config)):
            found += windows
            n_documents += 1
            n_tokens += sum(since > 0 for window in windows for since in window.since)
    if n_documents < MIN_DOCUMENTS:
        raise TaskError(
            f"Windows of {config.window_tokens} tokens hold two lines of {width} characters in only {n_documents} documents, and "
            f"{MIN_DOCUMENTS} are needed; map a dictionary that was trained on longer windows, or leave newline_{width} out."
        )
    return found


def newline_task(width: int, tokenizer: Any, config: StreamConfig, seed: int) -> Task:
    """Return the task whose labels are the characters between the last newline and the end of a token.

    Its rows are tokens of `newline_windows`, at most `ROWS_OF_LABEL` of each label, from as many documents as can be. A template
    is a document. Tokens before the first newline of a window are no rows: their line may as well be taken to begin anywhere.

    Raises:
        TaskError: a window of the model holds no two lines of that width.
    """
    windows = newline_windows(width, tokenizer, config, seed)
    chosen = _chosen(windows, seed)
    found = sorted({windows[window].since[token] for window, token in chosen})
    number = {since: label for label, since in enumerate(found)}
    values = np.array(found, dtype=np.float64)
    angle = 2 * np.pi * values / width
    missing = width - len(found)
    return Task(
        name=f"newline_{width}",
        title=f"Place in a line of {width} characters",
        family="layout",
        description=(
            "How many characters the end of a token is behind the last newline, in Python's documentation wrapped at "
            f"{width} characters."
        ),
        cyclic=False,
        labels=tuple(str(since) for since in found),
        values=values,
        colours=(),
        hypotheses=(
            _hypothesis("linear", "Characters since the newline", "ordinal", "the characters", values[:, None]),
            _hypothesis(
                f"cyc_{width}",
                f"{width}-character ring",
                "ring",
                f"sine and cosine of 2π · characters / {width}",
                np.stack([np.sin(angle), np.cos(angle)], axis=1),
            ),
        ),
        needs=("newline",),
        natural_mentions=False,
        sentences=tuple(
            Sentence(one.text, number[one.since[token]], one.document, one.start[token], one.end[token])
            for one, token in ((windows[window], token) for window, token in chosen)
        ),
        groups=tuple(f"documents {document % N_GROUPS}" for document in range(windows[-1].document + 1)),
        remarks=(f"No token of the text ends at {missing} of the {width} places of a line.",) if missing else (),
    )


def newline_measures(width: int, model: LanguageModel, smixae: Smixae, config: StreamConfig, seed: int) -> NewlineMeasures:
    """Return how every expert goes with the characters since the newline, over all labelled tokens of `newline_windows`.

    Every other document is of the second half.

    Raises:
        TaskError: a window of the model holds no two lines of that width.
    """
    found = newline_windows(width, model.tokenizer, config, seed)
    since = torch.zeros(len(found), max(len(one.since) for one in found), dtype=torch.int64)
    for number, one in enumerate(found):
        since[number, : len(one.since)] = torch.tensor(one.since)
    second = torch.tensor([one.document % 2 == 1 for one in found])
    since, second = since.to(model.device), second.to(model.device)
    sums = NewlineSums(smixae.n_experts, smixae.d_code, width)
    windows = [Window(number, 0, one.token_ids, held_out=True) for number, one in enumerate(found)]
    for x, tokens in blocks(windows, model, config):
        here = since[tokens.document, tokens.position.long()]
        labelled = here > 0
        # Rows of the block that are labelled get numbers of their own; zero rows that fill it have none.
        number_of = torch.full((len(x),), -1, device=x.device)
        number_of[: len(here)][labelled] = torch.arange(int(labelled.sum()), device=x.device)
        token, expert, code = smixae.firings(x)
        row = number_of[token]
        own = row >= 0
        fired = Fired(*(column[own].cpu().numpy() for column in (row, expert, code)))
        sums.update(here[labelled].cpu().numpy(), second[tokens.document][labelled].cpu().numpy(), fired)
    return sums.measures()


def measures_of(task: Task, model: LanguageModel, smixae: Smixae, config: ProbeConfig) -> NewlineMeasures | None:
    """Return the newline measures of a task that is about the place in a line; None of any other."""
    width = NEWLINE_TASKS.get(task.name)
    return None if width is None else newline_measures(width, model, smixae, config.stream, config.seed)


def _hypothesis(name: str, title: str, shape: Any, description: str, targets: np.ndarray) -> Hypothesis:
    return Hypothesis(name, title, shape, description, "linear", of_label=targets, of_row=None)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _windows(document: int, lines: list[str], tokenizer: Any, config: StreamConfig) -> Iterator[NewlineWindow]:
    """Yield runs of whole lines, two and more, that are at most a window long when tokenised by themselves."""
    width = window_width(tokenizer, config)
    specials = Specials(tokenizer).ids
    at = n_tokens = 0
    while at < len(lines) - 1 and n_tokens < DOCUMENT_TOKENS:
        n_lines = _fitting(lines[at:], tokenizer, width)
        if n_lines < 2:
            at += 1
            continue
        text = "\n".join(lines[at : at + n_lines])
        ids, offsets = _tokens(text, tokenizer)
        yield NewlineWindow(
            document, text, ids, [a for a, _ in offsets], [b for _, b in offsets], _since(text, ids, offsets, tokenizer, specials)
        )
        at += n_lines
        n_tokens += len(ids)


def _fitting(lines: list[str], tokenizer: Any, width: int) -> int:
    """Return how many of the lines a window of `width` tokens holds, without those that follow."""
    text = ""
    n_tried = 0
    for line in lines:
        if len(text) > TRIED_CHARACTERS * width:
            break
        text += line + "\n"
        n_tried += 1
    _, offsets = _tokens(text, tokenizer)
    # The first token that no longer fits; its line is left out.
    beyond = offsets[width][0] if len(offsets) > width else len(text)
    n_lines = min(text.count("\n", 0, beyond), n_tried)
    while n_lines > 1 and len(_tokens("\n".join(lines[:n_lines]), tokenizer)[0]) > width:
        n_lines -= 1
    return n_lines


def _tokens(text: str, tokenizer: Any) -> tuple[list[int], list[tuple[int, int]]]:
    # verbose: no warning about texts longer than the model's context, which are only tried
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return encoded["input_ids"], encoded["offset_mapping"]


def _since(text: str, ids: list[int], offsets: list[tuple[int, int]], tokenizer: Any, specials: frozenset[int]) -> list[int]:
    """Return the characters since the last newline at the end of each token; 0 where there is none before it.

    It is 0 as well where the token has no place of its own, as parts of one character have not. A token that holds a newline
    counts from behind it. Some tokenizers leave white space out of a token's place, so that its own bytes are asked.
    """
    found = []
    following = [start for start, _ in offsets[1:]] + [len(text)]
    for token, (start, end), behind, spelled in zip(ids, offsets, following, token_bytes(tokenizer, ids), strict=True):
        before, newline, after = spelled.rpartition(b"\n")
        if start == end or behind < end or token in specials:
            found.append(0)
        elif newline:
            found.append(len(after.decode("utf-8", "replace")))
        else:
            last = text.rfind("\n", 0, end)
            found.append(0 if last < 0 else end - last - 1)
    return found


def _chosen(windows: list[NewlineWindow], seed: int) -> list[tuple[int, int]]:
    """Return window and token of the rows, in order.

    Of each label the tokens are taken that come first in their document by a hash, then the second ones, and so on.
    """
    of_label: dict[int, dict[int, list[tuple[int, int, int]]]] = defaultdict(lambda: defaultdict(list))
    for number, window in enumerate(windows):
        for token, since in enumerate(window.since):
            if since:
                of_label[since][window.document].append((_hash(f"{seed} {number} {token}"), number, token))
    chosen: list[tuple[int, int]] = []
    for documents in of_label.values():
        ranked = [(rank, *one) for candidates in documents.values() for rank, one in enumerate(sorted(candidates))]
        chosen += [(number, token) for *_, number, token in sorted(ranked)[:ROWS_OF_LABEL]]
    return sorted(chosen)
