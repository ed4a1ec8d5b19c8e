"""Parts of a harvest, from one folder or many, put together: what one machine would have found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from atlas.activations.stream import StreamConfig
from atlas.errors import CorpusError, DictionarySilent, PartsMissing, StageMissing
from atlas.harvest.accumulated import Accumulated
from atlas.harvest.config import HarvestConfig, Shape
from atlas.harvest.parts import STAGE, Part, Progressed, Subject, parts_in
from atlas.harvest.tables import Made, tables
from atlas.stages import Stage, is_finished, require_same_inputs

SHOWN_MISSING = 5
"""Most missing shards that a message names."""


def merge(folders: Sequence[Path], work: Path, told: Callable[[str], None] = lambda _: None) -> None:
    """Write the harvest of all shards, whose parts the work folders hold, to `work/harvest`, unless it is there already.

    Neither the model nor the dictionary is needed for it. `told` hears what is being done.

    Raises:
        StageMissing: a folder holds no part.
        PartsMissing: a shard is missing, unfinished or there twice, or shards are cut differently.
        WorkOccupied: parts are of different inputs, or `work` holds another harvest.
        StageDamaged: a part cannot be read.
    """
    found = [_part_of(part) for folder in folders for part in _parts(folder, work)]
    if not found:
        return
    first = found[0][1]
    there = [_part_of(part) for part in parts_in(work / STAGE)]
    for part, progressed in [*found[1:], *there]:
        require_same_inputs(part.folder.parent, progressed.inputs, first.inputs)
    by_corpus = _complete(found, len(first.inputs["corpora"]["sha256"]))
    stage = Stage(work, STAGE, first.inputs)
    if not stage.is_done():
        folders_with = [part.folder.parent for part, _ in found if Subject.is_in(part.folder.parent)]
        subject = Subject.load(folders_with[0] if folders_with else found[0][0].folder.parent)
        told(f"Merging {len(found):,} parts")
        made = merge_parts(subject, by_corpus)
        stage.finish(made.tables, made.provenance)


def _parts(folder: Path, work: Path) -> list[Part]:
    """Return the parts in a work folder; none where it is the one that is merged into, and done."""
    parts = list(parts_in(folder / STAGE))
    if not parts and not (folder.resolve() == work.resolve() and is_finished(folder, STAGE)):
        raise StageMissing(f"'{folder}' holds no part of a harvest. Name the work folders of `atlas harvest --shard`.")
    return parts


def _part_of(part: Part) -> tuple[Part, Progressed]:
    found = part.progressed()
    assert found is not None
    return part, found


def _complete(found: Sequence[tuple[Part, Progressed]], n_corpora: int) -> list[list[Part]]:
    """Return the parts of each corpus, by shard.

    Raises:
        PartsMissing: they are not one finished part of each shard.
    """
    counts = sorted({part.shard.count for part, _ in found})
    if len(counts) > 1:
        raise PartsMissing(
            f"There are parts of {counts[0]} shards and parts of {counts[1]}. Merge those of one cut, without the others."
        )
    by_place: dict[tuple[int, int], Part] = {}
    for part, progressed in found:
        before = by_place.setdefault((part.corpus, part.shard.index), part)
        if before is not part:
            raise PartsMissing(f"Shard {part.shard} is there twice, in '{before.path}' and '{part.path}'. Give each shard once.")
        if not progressed.finished:
            raise PartsMissing(
                f"Shard {part.shard} is not finished: '{part.path}' has {progressed.next_chunk} of {progressed.chunks} chunks. "
                f"Run `atlas harvest --shard {part.shard}` again, it goes on."
            )
    n = counts[0]
    missing = sorted({index for index in range(n) for corpus in range(n_corpora) if (corpus, index) not in by_place})
    if missing:
        named = ", ".join(f"{index}/{n}" for index in missing[:SHOWN_MISSING])
        more = f" and {len(missing) - SHOWN_MISSING} more" if len(missing) > SHOWN_MISSING else ""
        raise PartsMissing(
            f"{len(missing)} of {n} shards are missing: {named}{more}. Run them, or name the work folders they are in."
        )
    return [[by_place[corpus, index] for index in range(n)] for corpus in range(n_corpora)]


def merge_parts(subject: Subject, parts: Sequence[Sequence[Part]]) -> Made:
    """Return the tables of a harvest from the finished parts of each of its corpora, by shard.

    Raises:
        CorpusError: a corpus held no token of text.
        DictionarySilent: no expert fired on any.
    """
    shape, config = Shape(**subject.about["shape"]), _config(subject.about["config"])
    kept = []
    for number, of_corpus in enumerate(parts):
        whole, *others = (_restored(part, shape, config) for part in of_corpus)
        for other in others:
            whole.merge(other)
        if not int(whole.totals.sums["tokens"]):
            raise CorpusError(f"The corpus '{subject.about['corpora'][number]['name']}' holds no token but special ones.")
        kept.append(whole)
    if not any(bool(whole.totals.sums["firings"].any()) for whole in kept):
        raise DictionarySilent("No expert fired on any shard. It is probably the wrong layer or model: check --model and --hook.")
    return tables(subject, kept, parts)


def _restored(part: Part, shape: Shape, config: HarvestConfig) -> Accumulated:
    kept = Accumulated(shape, config, torch.device("cpu"))
    kept.restore(part.load())
    return kept


def _config(written: dict[str, Any]) -> HarvestConfig:
    stream = StreamConfig(**written["stream"])
    return HarvestConfig(
        **{field.name: written[field.name] for field in fields(HarvestConfig) if field.name != "stream"}, stream=stream
    )
