"""What shards of a harvest leave on disk: their state between chunks, the windows that they met, and what they are parts of."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from atlas.activations.stream import Window
from atlas.errors import ConfigError
from atlas.files import sweep
from atlas.sealed import read_about, read_arrays, read_json, readable, write_arrays, write_json
from atlas.stages import require_same_inputs

STAGE = "harvest"
SUBJECT = "subject"
WINDOWS = "windows-*.safetensors"

Arrays = dict[str, NDArray[Any]]


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

    def has(self, chunk: int) -> bool:
        """Return whether a chunk is one of this shard's."""
        return chunk % self.count == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


WHOLE = Shard()
"""The one that has all chunks."""


class Progressed(NamedTuple):
    """What a part says of itself."""

    inputs: dict[str, Any]
    corpus: int
    """Which of the harvest's corpora it is of, from 0."""
    next_chunk: int
    """First chunk that is not in its state."""
    chunks: int
    """Of the corpus."""
    finished: bool


class Part:
    """One shard's state of one corpus."""

    def __init__(self, folder: Path, corpus: int, shard: Shard) -> None:
        """`folder` is the stage's."""
        self.folder = folder / f"corpus-{corpus}"
        self.corpus = corpus
        self.shard = shard
        self.path = self.folder / f"part-{shard.index}-of-{shard.count}.safetensors"

    def progressed(self) -> Progressed | None:
        """Return how far it has come; None where nothing is saved.

        Raises:
            StageDamaged: it cannot be read.
        """
        if not self.path.is_file():
            return None
        with readable(self.path, self._mend):
            return Progressed(**json.loads(read_about(self.path, self._mend)["about"]))

    def next_chunk(self, inputs: Mapping[str, Any]) -> int:
        """Return the first chunk that is not yet in the saved state.

        Raises:
            WorkOccupied: the state was made from other inputs.
            StageDamaged: it cannot be read.
        """
        found = self.progressed()
        if found is None:
            return 0
        require_same_inputs(self.folder.parent, found.inputs, json.loads(json.dumps(inputs)))
        return found.next_chunk

    def load(self) -> dict[str, Any]:
        """Return the saved state, as tensors.

        Raises:
            StageDamaged: it cannot be read, or is not what was saved.
        """
        import torch

        return {name: torch.from_numpy(array) for name, array in read_arrays(self.path, self._mend).items()}

    def save(self, state: Mapping[str, Any], about: Progressed) -> None:
        """Save a state of tensors between two chunks, whole or not at all."""
        arrays = {name: value.contiguous().numpy() for name, value in state.items()}
        write_arrays(self.path, arrays, {"about": json.dumps(about._asdict())})

    def save_windows(self, chunk: int, windows: Sequence[Window]) -> None:
        """Spool a chunk's windows, so that those that evidence points into can be stored in the end."""
        lengths = [len(window.token_ids) for window in windows]
        arrays: Arrays = {
            "document": np.array([window.document for window in windows], dtype=np.int64),
            "ordinal": np.array([window.ordinal for window in windows], dtype=np.int32),
            "token_ids": np.array([token for window in windows for token in window.token_ids], dtype=np.int32),
            "offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        }
        write_arrays(self._windows(chunk), arrays)

    def windows(self, chunk: int) -> Arrays:
        """Return the spooled windows of one of its chunks.

        Raises:
            StageDamaged: they cannot be read, or are not what was saved.
        """
        return read_arrays(self._windows(chunk), self._mend)

    def sweep(self) -> None:
        """Delete what a killed run of this shard left half written."""
        for path in self.folder.glob(".*.part"):
            chunk = re.match(r"\.windows-(\d+)\.", path.name)
            own = chunk and self.shard.has(int(chunk[1]))
            if own or path.name.startswith(f".{self.path.name}."):
                sweep([path])

    def _windows(self, chunk: int) -> Path:
        return self.folder / WINDOWS.replace("*", f"{chunk:06d}")

    @property
    def _mend(self) -> str:
        # Other shards' parts lie in the same folder.
        option = f" --shard {self.shard}" if self.shard.count > 1 else ""
        return f"Delete '{self.path}', then run `atlas harvest{option}` again."


class Subject(NamedTuple):
    """What is harvested, as far as tables need it: so that parts can be merged where there is neither model nor dictionary."""

    about: dict[str, Any]
    """JSON: `inputs`, `provenance`, `shape`, `config`, `corpora` (what is said of each), `words`."""
    texts: list[str]
    """Of every token id."""
    arrays: Arrays
    """`gram`, `decoder_norm`, `encoder_norm`."""

    def save(self, folder: Path) -> None:
        """Write it into the stage's folder."""
        write_arrays(folder / f"{SUBJECT}.safetensors", self.arrays)
        write_json(folder / f"{SUBJECT}.json", {**self.about, "texts": self.texts})

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Return whether one is written there."""
        return all((folder / f"{SUBJECT}.{ending}").is_file() for ending in ("safetensors", "json"))

    @classmethod
    def load(cls, folder: Path) -> Subject:
        """Return what `save` wrote.

        Raises:
            StageDamaged: it cannot be read.
        """
        mend = f"Delete '{folder / SUBJECT}.json', then run any shard of this harvest again: it writes it anew."
        about = read_json(folder / f"{SUBJECT}.json", mend)
        with readable(folder / f"{SUBJECT}.json", mend):
            texts = about.pop("texts")
        return cls(about, texts, read_arrays(folder / f"{SUBJECT}.safetensors", mend))


def parts_in(folder: Path) -> Iterator[Part]:
    """Yield the parts that a stage's folder holds, by corpus and shard."""
    found = []
    for path in folder.glob("corpus-*/part-*-of-*.safetensors"):
        named = re.fullmatch(r"part-(\d+)-of-(\d+)", path.stem)
        corpus = re.fullmatch(r"corpus-(\d+)", path.parent.name)
        if named and corpus:
            found.append((int(corpus[1]), int(named[2]), int(named[1])))
    for number, count, index in sorted(found):
        yield Part(folder, number, Shard(index, count))


def discard_parts(folder: Path) -> None:
    """Delete the parts, spooled windows and subject of a harvest whose tables are written."""
    for corpus in folder.glob("corpus-*"):
        shutil.rmtree(corpus, ignore_errors=True)
    for path in folder.glob(f"{SUBJECT}.*"):
        path.unlink(missing_ok=True)
