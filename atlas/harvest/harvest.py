"""One pass over each corpus: resumable, and cut into shards that any number of machines may run."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from atlas.activations.corpus import Corpus, Document
from atlas.activations.model import LanguageModel
from atlas.activations.stream import (
    Block,
    Window,
    ahead,
    blocks,
    chunk_windows,
    of_corpus,
    require_finite,
    window_width,
)
from atlas.activations.vocabulary import token_texts
from atlas.dictionary import Checkpoint, Firings, Smixae
from atlas.errors import CorpusError, DictionarySilent, ModelError
from atlas.harvest.accumulated import Accumulated
from atlas.harvest.config import HarvestConfig, Shape
from atlas.harvest.inputs import harvest_inputs, is_held_out, provenance, survey_for
from atlas.harvest.mentions import Mentioned, Mentions, Words
from atlas.harvest.merge import merge_parts
from atlas.harvest.observed import Encoded, before_last_window, joined, observe
from atlas.harvest.parts import STAGE, WHOLE, Part, Progressed, Shard, Subject, discard_parts, parts_in
from atlas.harvest.survey import Survey
from atlas.stages import Stage, fingerprint, is_finished, require_same_inputs

SILENT_TOKENS = 10_000
"""Tokens without one firing after which a pass stops."""

OBSERVED_ROWS = 2048
"""Rows that are accumulated at once: enough that the fixed cost of an operation does not show."""

Measured = Literal["none", "held out", "all"]
"""Rows of a chunk that importance is measured on: all only where nothing of the corpus is held out."""

SAVING_SHARE = 0.03
"""Most of the time that may go into saving."""


@runtime_checkable
class Progress(Protocol):
    """Told after each chunk how far the pass is."""

    def __call__(self, *, chunks: int, of: int, tokens: int) -> None: ...


class Standing(NamedTuple):
    """How far a harvest has come."""

    finished: bool
    """The whole stage is."""
    left: tuple[int, ...]
    """Chunks of each corpus that the shard has yet to run."""
    is_begun: bool
    """A part of them is done."""


def standing(work: Path, inputs: Mapping[str, Any], shard: Shard, plans: Sequence[Survey]) -> Standing:
    """Return what earlier runs have done of a shard.

    Raises:
        WorkOccupied: the work folder holds a harvest of other inputs.
        StageDamaged: a file of it cannot be read.
    """
    require_own(work, inputs)
    if is_finished(work, STAGE):
        return Standing(True, (0,) * len(plans), True)
    firsts = [Part(work / STAGE, number, shard).next_chunk(inputs) for number in range(len(plans))]
    left = (sum(map(shard.has, range(first, plan.chunks))) for first, plan in zip(firsts, plans, strict=True))
    return Standing(False, tuple(left), any(firsts))


def require_own(work: Path, known: Mapping[str, Any]) -> None:
    """Compare what is known of a harvest's inputs with those of the harvest, or of parts of one, in the work folder.

    Raises:
        WorkOccupied: they differ.
        StageDamaged: a file of it cannot be read.
    """
    folder = work / STAGE
    wanted = json.loads(json.dumps(known))
    parts = (found.inputs for part in parts_in(folder) if (found := part.progressed()))
    for inputs in [fingerprint(work, STAGE)] if is_finished(work, STAGE) else parts:
        require_same_inputs(folder, {key: inputs.get(key) for key in wanted}, wanted)


def harvest(
    checkpoint: Checkpoint,
    model: LanguageModel,
    corpora: Sequence[Corpus],
    work: Path,
    config: HarvestConfig,
    shard: Shard = WHOLE,
    words: Words | None = None,
    progress: Progress | None = None,
    save_every_s: float = 20.0,
    plans: Sequence[Survey] | None = None,
    counted: Callable[[int], None] = lambda _: None,
) -> bool:
    """Run this shard's chunks and keep what every expert does in `work/harvest`; return whether the stage is finished.

    A run that was interrupted goes on from its last saved chunk. A harvest of one shard writes its tables; the parts of several
    are put together by `merge`. `words` are the labels of labelled tasks, whose mentions are kept; `plans` are the surveys of
    the corpora where they have been made already; `counted` is told the tokens of every batch.

    Raises:
        WorkOccupied: the folder holds parts of other inputs.
        StageDamaged: a part cannot be read.
        ModelError: the model's width is not the dictionary's, or it returns a value that is not finite.
        DictionarySilent: no expert fires.
        CorpusError: there is no text, or two corpora have one name.
    """
    require_same_width(checkpoint, model)
    plans = plans or [survey_for(checkpoint, corpus, model.tokenizer, config) for corpus in corpora]
    words = words or {}
    inputs = harvest_inputs(checkpoint, model, corpora, plans, config, words)
    stage = Stage(work, STAGE, inputs)
    if not stage.is_done():
        require_own(work, inputs)
        subject = _subject(checkpoint, model, corpora, plans, config, words, inputs)
        parts = [Part(stage.folder, number, shard) for number in range(len(corpora))]
        for part, corpus, plan in zip(parts, corpora, plans, strict=True):
            _Pass(part, checkpoint, model, corpus, plan, config, words, subject, progress, save_every_s, counted).run()
        if shard.count > 1:
            return False
        made = merge_parts(subject, [[part] for part in parts])
        stage.finish(made.tables, made.provenance)
    if shard.count == 1:
        discard_parts(stage.folder)
    return True


def require_same_width(checkpoint: Checkpoint, model: LanguageModel) -> None:
    """Raise ModelError unless the dictionary reads rows as wide as the model gives."""
    if model.d_model != checkpoint.smixae.d_in:
        raise ModelError(
            f"'{model.name}' has {model.d_model} numbers per token at '{model.hook}', the checkpoint reads "
            f"{checkpoint.smixae.d_in}; name the model and hook that it was trained on."
        )


def _subject(
    checkpoint: Checkpoint,
    model: LanguageModel,
    corpora: Sequence[Corpus],
    plans: Sequence[Survey],
    config: HarvestConfig,
    words: Words,
    inputs: dict[str, Any],
) -> Subject:
    smixae = checkpoint.smixae
    n_vocabulary = len(model.embeddings)
    columns = smixae.weights.W_enc.double().square().sum(dim=0)
    decoder = smixae.decoder.double()
    shape = Shape(
        n_experts=smixae.n_experts,
        d_in=smixae.d_in,
        d_code=smixae.d_code,
        threshold=smixae.threshold,
        window_tokens=config.stream.window_tokens,
        window_width=window_width(model.tokenizer, config.stream),
        n_vocabulary=n_vocabulary,
        n_words=sum(map(len, words.values())),
        unit=_unit(smixae),
    )
    about = {
        "inputs": inputs,
        "provenance": provenance(inputs, checkpoint, model),
        "shape": shape._asdict(),
        "config": asdict(config),
        "corpora": [_described(corpus, plan, config) for corpus, plan in zip(corpora, plans, strict=True)],
        "words": {name: list(labels) for name, labels in words.items()},
    }
    return Subject(
        about=json.loads(json.dumps(about)),
        texts=token_texts(model.tokenizer, range(n_vocabulary)),
        arrays={
            "gram": (decoder @ decoder.transpose(1, 2)).cpu().numpy(),
            "decoder_norm": smixae.decoder_norm.double().cpu().numpy(),
            "encoder_norm": columns.view(smixae.n_experts, -1).sum(dim=1).sqrt().cpu().numpy(),
        },
    )


def _unit(smixae: Smixae) -> float:
    """Return the power of two nearest to the length of a contribution, as threshold and decoders give it; 1 without any."""
    length = (smixae.threshold or 1.0) * float(smixae.decoder_norm.double().mean())
    return 2.0 ** round(math.log2(length)) if length > 0 else 1.0


def _described(corpus: Corpus, plan: Survey, config: HarvestConfig) -> dict[str, Any]:
    return {
        "name": corpus.name,
        "title": corpus.title,
        "description": corpus.description,
        "documents": plan.documents,
        "chunks": plan.chunks,
        "whole": plan.whole,
        "sha256": plan.sha256,
        "importance_chunks": len(plan.measured(config.seed, corpus.name)),
        **corpus.origin(plan.files),
    }


def accumulate(
    found: Iterable[Block],
    kept: Accumulated,
    smixae: Smixae,
    seed: int,
    corpus: str,
    measured: Measured,
    told: Callable[[Block, Firings], None] = lambda _block, _firings: None,
    counted: Callable[[int], None] = lambda _: None,
) -> None:
    """Run blocks of one chunk through the dictionary, and keep what it makes of them.

    `measured` says which rows importance is measured on. `told` hears of every block, `counted` the tokens
    of every batch.
    """
    waiting: list[Encoded] = []

    def batch(rows: Encoded) -> None:
        kept.update(observe(rows, seed, corpus))
        counted(len(rows.tokens.document))

    for block in found:
        firings = smixae.firings(block.x)
        told(block, firings)
        gain = torch.full_like(firings.code[:, 0], torch.nan)
        if measured != "none":
            held_out = block.tokens.held_out
            gain = kept.update_errors(block.x, firings, held_out if measured == "held out" else torch.ones_like(held_out), smixae)
        waiting.append(Encoded(block.tokens, firings, gain))
        if sum(len(one.tokens.document) for one in waiting) >= OBSERVED_ROWS:
            # What is around a firing is of its window, so that a batch ends where one does.
            whole, rest = before_last_window(joined(waiting))
            if len(whole.tokens.document):
                batch(whole)
            waiting = [rest]
    if waiting:
        batch(joined(waiting))


class _Silence:
    """The norms of a pass in which nothing has fired yet."""

    def __init__(self, smixae: Smixae) -> None:
        self._smixae = smixae
        self._tokens = 0
        self._sum = 0.0
        self._largest = 0.0

    def update(self, x: Float[Tensor, "token d_in"]) -> None:
        """Add rows on which no expert fires.

        Raises:
            DictionarySilent: they are too many for that.
        """
        norms = self._smixae.norms(x)
        self._tokens += len(x)
        self._sum += float(norms.double().sum())
        self._largest = max(self._largest, float(norms.max()))
        if self._tokens >= SILENT_TOKENS:
            self.refuse()

    def refuse(self) -> None:
        """Raise DictionarySilent if there was any token."""
        if self._tokens:
            mean = self._sum / (self._tokens * self._smixae.n_experts)
            raise DictionarySilent(
                f"No expert fires on any of {self._tokens:,} tokens: norms are {mean:.3g} on average and {self._largest:.3g} at "
                f"most, the threshold is {self._smixae.threshold:.3g}. It is probably the wrong layer or model: check --model "
                "and --hook."
            )


class _Prepared(NamedTuple):
    """A chunk as the model takes it."""

    number: int
    documents: list[Document]
    windows: list[Window]
    mentioned: Mentioned


class _Pass:
    """Brings a shard's saved state of one corpus from where it stands to its end."""

    def __init__(
        self,
        part: Part,
        checkpoint: Checkpoint,
        model: LanguageModel,
        corpus: Corpus,
        plan: Survey,
        config: HarvestConfig,
        words: Words,
        subject: Subject,
        progress: Progress | None,
        save_every_s: float,
        counted: Callable[[int], None],
    ) -> None:
        self._part = part
        self._checkpoint = checkpoint
        self._smixae = checkpoint.smixae
        self._model = model
        self._corpus = corpus
        self._plan = plan
        self._config = config
        self._mentions = Mentions(words)
        self._measured = plan.measured(config.seed, corpus.name)
        self._subject = subject
        self._progress = progress
        self._save_every_s = save_every_s
        self._counted = counted
        self._fired = False
        self._silence = _Silence(self._smixae)
        # Nothing is written before something fires, so that a run which is refused leaves no trace.
        self._waiting: list[_Prepared] = []
        self._saved = time.monotonic()
        self._saving_took = 0.0

    def run(self) -> None:
        """Run all chunks that are left, saving between them."""
        part = self._part
        part.sweep()
        progressed = part.progressed()
        if progressed is not None and not Subject.is_in(part.folder.parent):
            self._subject.save(part.folder.parent)
        if progressed is not None and progressed.finished:
            return
        shape = Shape(**self._subject.about["shape"])
        kept = Accumulated(shape, self._config, self._smixae.device)
        if progressed is not None:
            kept.restore(part.load())
            self._fired = bool(kept.totals.sums["firings"].any())
        # Closed at once where a chunk fails, so that no thread goes on reading.
        with closing(ahead(self._prepared(progressed.next_chunk if progressed else 0))) as chunks:
            for chunk in chunks:
                self._run_chunk(chunk, kept)
        # Another shard's chunks may hold what fires: of several, the merge sees all.
        if not self._fired and part.shard.count == 1:
            self._silence.refuse()
            _refuse_specials(self._corpus)
        self._spool()
        self._save(kept, self._plan.chunks, finished=True)

    def _prepared(self, first: int) -> Iterator[_Prepared]:
        tokenizer, width = self._model.tokenizer, window_width(self._model.tokenizer, self._config.stream)
        for number, chunk in enumerate(islice(self._corpus.chunks(), self._plan.chunks)):
            if number >= first and self._part.shard.has(number):
                documents = _as_trained(chunk, self._checkpoint)
                windows = chunk_windows(documents, tokenizer, self._config.stream)
                yield _Prepared(number, documents, windows, self._mentions.find(documents, tokenizer, width))

    def _run_chunk(self, chunk: _Prepared, kept: Accumulated) -> None:
        kept.begin_chunk(chunk.documents, chunk.mentioned)
        measured: Measured = "none"
        if chunk.number in self._measured:
            measured = "held out" if self._plan.has_held_out else "all"
        accumulate(
            self._blocks(chunk), kept, self._smixae, self._config.seed, self._corpus.name, measured, self._told, self._counted
        )
        kept.close_chunk()
        self._waiting.append(chunk)
        if self._fired:
            self._spool()
            if time.monotonic() - self._saved >= max(self._save_every_s, self._saving_took / SAVING_SHARE):
                self._save(kept, chunk.number + 1, finished=False)
        if self._progress:
            self._progress(chunks=chunk.number + 1, of=self._plan.chunks, tokens=int(kept.totals.sums["tokens"]))

    def _blocks(self, chunk: _Prepared) -> Iterator[Block]:
        for block in blocks(chunk.windows, self._model, self._config.stream):
            require_finite(block, self._model, of_corpus(self._corpus.name))
            yield block

    def _told(self, block: Block, firings: Firings) -> None:
        if not self._fired:
            n_real = len(block.tokens.document)
            self._fired = bool((firings.token < n_real).any())
            if not self._fired:
                self._silence.update(block.x[:n_real])

    def _spool(self) -> None:
        for chunk in self._waiting:
            self._part.save_windows(chunk.number, chunk.windows)
        self._waiting = []

    def _save(self, kept: Accumulated, next_chunk: int, finished: bool) -> None:
        begun = time.monotonic()
        if self._part.progressed() is None:
            self._subject.save(self._part.folder.parent)
        about = Progressed(self._subject.about["inputs"], self._part.corpus, next_chunk, self._plan.chunks, finished)
        self._part.save(kept.state(), about)
        self._saved = time.monotonic()
        self._saving_took = self._saved - begun


def _as_trained(chunk: list[Document], checkpoint: Checkpoint) -> list[Document]:
    """Return documents that are held out exactly if the dictionary was trained on none of their rows, as far as it says."""
    return [document._replace(held_out=is_held_out(document, checkpoint)) for document in chunk]


def _refuse_specials(corpus: Corpus) -> NoReturn:
    raise CorpusError(f"The corpus '{corpus.name}' holds no token but special ones.")
