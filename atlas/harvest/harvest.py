"""One pass over a corpus: resumable, and cut into shards that any number of machines may run."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file
from torch import Tensor

from atlas.activations.corpus import Corpus, Document, TextHash
from atlas.activations.model import LanguageModel
from atlas.activations.stream import BLOCK_ROWS, StreamConfig, Window, blocks, chunk_windows, require_finite
from atlas.dictionary import Checkpoint, Smixae
from atlas.errors import ConfigError, CorpusError, DictionarySilent, ModelError
from atlas.harvest.accumulators import Accumulators, observe
from atlas.harvest.tables import tables
from atlas.stages import Stage, fingerprint, is_finished, readable, require_same_inputs, sweep, versions, write_arrays

STAGE = "harvest"

SILENT_TOKENS = 10_000
"""Tokens without one firing after which a pass stops."""


@dataclass(frozen=True)
class HarvestConfig:
    """What is kept of a corpus."""

    sample: int = 1000
    """Firings kept per expert, uniformly."""
    top: int = 64
    """Strongest firings kept per expert, from windows of distinct content."""
    seed: int = 0
    """Of the hash that chooses samples."""
    tokens: int | None = None
    """About how many tokens of the corpus are read, in whole chunks; None reads all."""
    stream: StreamConfig = field(default_factory=StreamConfig)

    def __post_init__(self) -> None:
        if self.tokens is not None and self.tokens < 1:
            raise ConfigError(f"tokens is {self.tokens}; a harvest reads at least 1.")
        for name in ("sample", "top"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; a harvest keeps at least 1 firing per expert.")


@dataclass(frozen=True)
class Shard:
    """Which chunks one run does: those c with c mod count = index."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard written as `i/N`, i from 0.

        Raises:
            ConfigError: it is not of that form, or i is not below N.
        """
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise ConfigError(f"'{text}' is not a shard; write i/N with i from 0 to N - 1, as in 0/4.")
        return cls(int(index), int(count))


@runtime_checkable
class Progress(Protocol):
    """Told after each chunk how far the pass is."""

    def __call__(self, *, chunks: int, of: int, tokens: int) -> None: ...


class Survey(NamedTuple):
    """What is to be read, found in one pass over the text without the model."""

    documents: int
    held_out: int
    """Documents of the fifth that no dictionary is trained on."""
    chunks: int
    tokens: int
    """About how many, by the first chunk's tokens per character."""
    sha256: str
    """Of these documents in order."""
    whole: bool
    """The corpus ends here."""


def survey(corpus: Corpus, tokenizer: Any, tokens: int | None = None) -> Survey:
    """Return how much text there is, and its hash, up to the end of the chunk that brings it to about `tokens`.

    Tokens per character are counted once, in the first chunk, so that every shard finds the same end.
    """
    text = TextHash()
    documents = held_out = chunks = characters = 0
    first_tokens, first_characters = 0, 1
    whole = True
    for chunk in corpus.chunks():
        if tokens is not None and chunks and characters * first_tokens >= tokens * first_characters:
            whole = False
            break
        for document in chunk:
            text.add(document)
            characters += document.characters
            held_out += document.held_out
        if not chunks:
            first_characters = max(characters, 1)
            first_tokens = sum(len(document.tokens(tokenizer)) for document in chunk)
        documents += len(chunk)
        chunks += 1
    about = round(characters * first_tokens / first_characters)
    return Survey(documents, held_out, chunks, about, text.sha256(), whole)


class Standing(NamedTuple):
    """How far a harvest has come."""

    finished: bool
    """The whole stage is."""
    first: int
    """Next chunk of the shard."""
    left: int
    """Chunks that the shard has yet to run."""


def standing(work: Path, inputs: Mapping[str, Any], shard: Shard, plan: Survey) -> Standing:
    """Return what earlier runs have done of a shard.

    Raises:
        WorkOccupied: the work folder holds a harvest of other inputs.
        StageDamaged: a file of it cannot be read.
    """
    require_own(work, inputs)
    if is_finished(work, STAGE):
        return Standing(True, plan.chunks, 0)
    first = Part(work / STAGE, shard, inputs).next_chunk()
    return Standing(False, first, sum(number % shard.count == shard.index for number in range(first, plan.chunks)))


def require_own(work: Path, known: Mapping[str, Any]) -> None:
    """Compare what is known of a harvest's inputs with those of the harvest, or of parts of one, in the work folder.

    Raises:
        WorkOccupied: they differ.
        StageDamaged: a file of it cannot be read.
    """
    folder = work / STAGE
    wanted = json.loads(json.dumps(known))
    parts = (_about(path)["inputs"] for path in sorted(folder.glob("part-*.safetensors")))
    for inputs in [fingerprint(work, STAGE)] if is_finished(work, STAGE) else parts:
        require_same_inputs(folder, {key: inputs.get(key) for key in wanted}, wanted)


def harvest(
    checkpoint: Checkpoint,
    model: LanguageModel,
    corpus: Corpus,
    work: Path,
    config: HarvestConfig,
    shard: Shard = Shard(),
    progress: Progress | None = None,
    save_every_s: float = 20.0,
    plan: Survey | None = None,
    counted: Callable[[int], None] = lambda _: None,
) -> bool:
    """Run this shard's chunks and keep what every expert does in `work/harvest`; return whether the whole stage is finished.

    A run that was interrupted goes on from its last saved chunk. The shard that finishes last merges all of them. `plan` is
    the survey of the corpus where it has been made already; `counted` is told the tokens of every block.

    Raises:
        WorkOccupied: the folder holds parts of other inputs.
        StageDamaged: a part cannot be read.
        ModelError: the model's width is not the dictionary's, or it returns a value that is not finite.
        DictionarySilent: no expert fires.
    """
    require_same_width(checkpoint, model)
    plan = plan or survey(corpus, model.tokenizer, config.tokens)
    inputs = harvest_inputs(checkpoint, model, corpus, plan, config)
    stage = Stage(work, STAGE, inputs)
    if stage.is_done():
        return True
    require_own(work, inputs)
    part = Part(stage.folder, shard, inputs)
    _run(part, checkpoint, model, corpus, plan, config, progress, save_every_s, counted)
    parts = [Part(stage.folder, Shard(index, shard.count), inputs) for index in range(shard.count)]
    if not all(other.is_finished() for other in parts):
        return False
    whole = parts[0].load(checkpoint.smixae.device)
    for other in parts[1:]:
        whole.merge(other.load(checkpoint.smixae.device))
    if not int(whole.totals.sums["tokens"]):
        _refuse_specials(corpus)
    made = tables(whole, _Windows(stage.folder, plan.chunks), checkpoint, model, corpus)
    stage.finish(made.tables, {**provenance(inputs, checkpoint, plan, corpus), **made.provenance})
    return True


def require_same_width(checkpoint: Checkpoint, model: LanguageModel) -> None:
    """Raise ModelError unless the dictionary reads rows as wide as the model gives."""
    if model.d_model != checkpoint.smixae.d_in:
        raise ModelError(
            f"'{model.name}' has {model.d_model} numbers per token at '{model.hook}', the checkpoint reads "
            f"{checkpoint.smixae.d_in}; name the model and hook that it was trained on."
        )


def known_inputs(checkpoint: Checkpoint, corpus: Corpus, plan: Survey, config: HarvestConfig) -> dict[str, Any]:
    """Return those inputs of a harvest that are known before its model is loaded."""
    return {
        "checkpoint": checkpoint.sha256,
        "trained_on": checkpoint.trained_on.sha256 if checkpoint.trained_on else None,
        "corpus": {"name": corpus.name, "sha256": plan.sha256},
        "settings": asdict(config),
    }


def harvest_inputs(
    checkpoint: Checkpoint, model: LanguageModel, corpus: Corpus, plan: Survey, config: HarvestConfig
) -> dict[str, Any]:
    """Return everything that determines the result of a harvest."""
    return {
        **known_inputs(checkpoint, corpus, plan, config),
        **describe_run(model),
    }


def describe_run(model: LanguageModel) -> dict[str, Any]:
    """Return what a pass through a model depends on besides text and dictionary: the model, where it runs, and with what."""
    return {
        "model": describe_model(model),
        "device": {
            "type": model.device.type,
            "dtype": model.dtype,
            "threads": torch.get_num_threads(),
            "block_rows": BLOCK_ROWS[model.device.type],
        },
        "versions": versions("torch", "transformers", "tokenizers", "numpy"),
    }


def describe_model(model: LanguageModel) -> dict[str, Any]:
    """Return what identifies a language model and the place it is cut at."""
    return {
        "id": model.name,
        "hook": model.hook,
        "class": model.class_name,
        "d_in": model.d_model,
        "revision_or_sha256": model.fingerprint,
        "tokenizer_sha256": model.tokenizer_sha256,
        "note": None if model.is_causal else "A bidirectional encoder: a row sees the text on both sides of its token.",
    }


def provenance(inputs: dict[str, Any], checkpoint: Checkpoint, plan: Survey, corpus: Corpus) -> dict[str, Any]:
    """Return what a reader needs to know of where a harvest came from."""
    config = checkpoint.smixae.config
    return {
        "model": inputs["model"],
        "dictionary": {
            "architecture": checkpoint.architecture,
            "n_experts": config.n_experts,
            "d_expert": config.d_expert,
            "d_code": config.d_code,
            "threshold": checkpoint.smixae.threshold,
            "sha256": checkpoint.sha256,
            # A local folder's name would tell readers of a site about the machine that baked it.
            **({"source": checkpoint.source, "revision": checkpoint.revision} if checkpoint.revision else {}),
        },
        "training": checkpoint.metadata.get("atlas_training"),
        "corpus": {
            "name": corpus.name,
            "title": corpus.title,
            "description": corpus.description,
            "documents": plan.documents,
            "whole": plan.whole,
            "sha256": plan.sha256,
        },
        "settings": {"harvest": inputs["settings"], "device": inputs["device"]},
        "versions": inputs["versions"],
    }


class Part:
    """One shard's state on disk, and the windows that it met."""

    def __init__(self, folder: Path, shard: Shard, inputs: Mapping[str, Any]) -> None:
        self.folder = folder
        self.shard = shard
        self.inputs = json.loads(json.dumps(inputs))
        self.path = folder / f"part-{shard.index}-of-{shard.count}.safetensors"

    def next_chunk(self) -> int:
        """Return the first chunk that is not yet in the saved state.

        Raises:
            WorkOccupied: the state was made from other inputs.
            StageDamaged: it cannot be read.
        """
        return int(self._about()["next_chunk"]) if self.path.is_file() else 0

    def is_finished(self) -> bool:
        """Return whether all of the shard's chunks are in the saved state."""
        return self.path.is_file() and bool(self._about()["finished"])

    def load(self, device: torch.device) -> Accumulators:
        """Return the saved state.

        Raises:
            StageDamaged: it cannot be read.
        """
        from safetensors.torch import load_file as load_tensors

        with readable(self.path):
            return Accumulators.from_state(load_tensors(self.path), device)

    def save(self, kept: Accumulators, next_chunk: int, chunks: int, finished: bool) -> None:
        """Save the state between two chunks, whole or not at all."""
        about = {"inputs": self.inputs, "next_chunk": next_chunk, "chunks": chunks, "finished": finished}
        arrays = {name: value.numpy() for name, value in kept.state().items()}
        write_arrays(self.path, arrays, {"about": json.dumps(about)})

    def save_all_windows(self, waiting: list[tuple[int, list[Window]]]) -> None:
        """Spool the windows of each (chunk, windows), and empty the list."""
        for chunk, windows in waiting:
            self.save_windows(chunk, windows)
        waiting.clear()

    def save_windows(self, chunk: int, windows: list[Window]) -> None:
        """Spool a chunk's windows, so that those that evidence points into can be stored in the end."""
        lengths = [len(window.token_ids) for window in windows]
        write_arrays(
            self.folder / f"windows-{chunk:06d}.safetensors",
            {
                "document": np.array([window.document for window in windows], dtype=np.int64),
                "ordinal": np.array([window.ordinal for window in windows], dtype=np.int32),
                "token_ids": np.array([token for window in windows for token in window.token_ids], dtype=np.int32),
                "offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            },
        )

    def sweep(self) -> None:
        """Delete what a killed run of this shard left half written."""
        for path in self.folder.glob(".*.part"):
            chunk = re.match(r"\.windows-(\d+)\.", path.name)
            own = chunk and int(chunk[1]) % self.shard.count == self.shard.index
            if own or path.name.startswith(f".{self.path.name}."):
                sweep([path])

    def _about(self) -> dict[str, Any]:
        about = _about(self.path)
        require_same_inputs(self.folder, about["inputs"], self.inputs)
        return about


def _about(part: Path) -> dict[str, Any]:
    """Return what a part says of itself: its inputs, and how far it has come."""
    with readable(part), safe_open(part, "numpy") as file:
        about: dict[str, Any] = json.loads(file.metadata()["about"])
    return about


class _Windows:
    """The spooled windows of all shards."""

    def __init__(self, folder: Path, chunks: int) -> None:
        self.folder = folder
        self.chunks = chunks

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        for chunk in range(self.chunks):
            path = self.folder / f"windows-{chunk:06d}.safetensors"
            with readable(path):
                windows = load_file(path)
            yield windows


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


def _run(
    part: Part,
    checkpoint: Checkpoint,
    model: LanguageModel,
    corpus: Corpus,
    plan: Survey,
    config: HarvestConfig,
    progress: Progress | None,
    save_every_s: float,
    counted: Callable[[int], None],
) -> None:
    """Bring a shard's saved state from where it stands to its end."""
    part.sweep()
    if part.is_finished():
        return
    first = part.next_chunk()
    smixae = checkpoint.smixae
    if part.path.is_file():
        kept = part.load(smixae.device)
    else:
        kept = Accumulators.empty(smixae, len(model.embeddings), config.sample, config.top)
    fired, silence = bool(kept.totals.sums["firings"].any()), _Silence(smixae)
    # Nothing is written before something fires, so that a run which is refused leaves no trace.
    waiting: list[tuple[int, list[Window]]] = []
    saved = time.monotonic()
    for number, chunk in enumerate(islice(corpus.chunks(), plan.chunks)):
        if number % part.shard.count != part.shard.index or number < first:
            continue
        windows = chunk_windows(_as_trained(chunk, checkpoint), model.tokenizer, config.stream)
        for block in blocks(windows, model, config.stream):
            require_finite(block, model)
            x, tokens = block
            seen = observe(x, smixae.firings(x), tokens, smixae, config.seed, corpus.name)
            kept.update(seen)
            fired = fired or len(seen.expert) > 0
            if not fired:
                silence.update(seen.x)
            counted(len(seen.x))
        waiting.append((number, windows))
        if fired:
            part.save_all_windows(waiting)
            if time.monotonic() - saved >= save_every_s:
                part.save(kept, number + 1, plan.chunks, finished=False)
                saved = time.monotonic()
        if progress:
            progress(chunks=number + 1, of=plan.chunks, tokens=int(kept.totals.sums["tokens"]))
    if not fired:
        silence.refuse()
        if part.shard.count == 1:
            _refuse_specials(corpus)
    part.save_all_windows(waiting)
    part.save(kept, plan.chunks, plan.chunks, finished=True)


def _as_trained(chunk: list[Document], checkpoint: Checkpoint) -> list[Document]:
    """Return documents that are held out exactly if the dictionary was trained on none of their rows, as far as it says."""
    known = checkpoint.trained_on
    return [document._replace(held_out=known is None or not known.includes(document.identity)) for document in chunk]


def _refuse_specials(corpus: Corpus) -> NoReturn:
    raise CorpusError(f"The corpus '{corpus.name}' holds no token but special ones.")
