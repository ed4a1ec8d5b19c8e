"""Files of the path that are cut short or have one bit that is another, and what the next run makes of them."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import BUILD, DATABASE, SITE, STAGES, TRAIN, Ended, Reference, files, run, start
from outcomes import Outcome, rows_and_bytes

KINDS = ("cut to nothing", "cut to a byte", "cut to half", "cut by a byte", "one bit flipped")

GROUPS = {
    "weights of a checkpoint": "built: work/train/checkpoint/sae_weights.safetensors",
    "configuration of a checkpoint": "built: work/train/checkpoint/cfg.json",
    "what a checkpoint was trained on": "built: work/train/checkpoint/trained_on.safetensors",
    "log of a training": "built: work/train/checkpoint/training_log.jsonl",
    "hashes of a checkpoint": "built: work/train/checkpoint/SHA256SUMS",
    "checkpoint of a training under way": "training: work/train/under_way/step-*/*",
    "log of a training under way": "training: work/train/under_way/training_log.jsonl",
    "part of a harvest": "harvesting: work/harvest/corpus-0/part-*",
    "windows of a harvest": "harvesting: work/harvest/corpus-0/windows-*",
    "subject of a harvest": "harvesting: work/harvest/subject.*",
    "tables of a stage": "built: work/*/tables.*",
    "done.json of a stage": "built: work/*/done.json",
    "part of the probe": "built: work/probe/*/*",
    "part of the geometry": "built: work/geometry/*/**/*.*",
    "atlas.duckdb": "built: work/atlas.duckdb",
    "page": "built: site/index.html",
    "payload": "built: site/data/**/*.js",
    "baked.json": "built: site/baked.json",
    "weights of the language model": "built: bert/model.safetensors",
    "tokenizer": "built: bert/tokenizer.json",
}
"""What may be damaged, and where that is: the state of the folder, and files in it."""


def at_the_end_of_training() -> None:
    """End the process as a kill does when a training has taken its steps."""
    from atlas.dictionary.training import Training

    _kill_in(Training, "calibrated")


def before_the_tables_of_a_harvest() -> None:
    """End the process as a kill does when a harvest has run its chunks."""
    import atlas.harvest.harvest

    _kill_in(atlas.harvest.harvest, "merge_parts")


def _kill_in(of: object, name: str) -> None:
    setattr(of, name, lambda *_, **__: os._exit(9))


STATES: dict[str, tuple[str, Callable[[], None]]] = {
    "training": ("train", at_the_end_of_training),
    "harvesting": ("harvest", before_the_tables_of_a_harvest),
}
"""Folders in which a stage was killed, beside the one in which everything is finished."""


def in_state(state: str, wanted: Reference, folder: Path) -> Path:
    """Return a new folder in one of the states."""
    if state not in STATES:
        return wanted.built(folder)
    stage, killed = STATES[state]
    wanted.copied("new", stage, folder)
    assert start(folder, *STAGES[stage], first=killed).ended().code == 9
    return folder


@dataclass(frozen=True)
class Damage:
    """One file to be damaged."""

    group: str
    kind: str
    which: float
    """Of the group's files, from 0 to 1."""
    place: float
    """Of the bit that is flipped, from 0 to 1."""

    def done(self, wanted: Reference, folder: Path) -> Outcome:
        """Do it in a new folder, run on, do what the refusal says, run again, and return what came of it."""
        state, _, pattern = GROUPS[self.group].partition(": ")
        in_state(state, wanted, folder)
        candidates = sorted(path for path in folder.glob(pattern) if path.is_file())
        file = candidates[int(self.which * len(candidates))]
        whole = file.read_bytes()
        file.write_bytes(self.damaged(whole))
        before = files(folder)
        ended = _run_on(folder)
        refused = ended.code != 0
        named = self._named(ended, file) if refused else None
        lost = refused and _good(before, file, folder) != _good(files(folder), file, folder)
        if refused:
            _mend(ended, folder, file, whole)
        again = _run_on(folder) if refused else ended
        rows, same = rows_and_bytes(folder, wanted) if again.code == 0 else (False, False)
        details = f"{self} of {file.relative_to(folder)}: {ended}; then {again}"
        return Outcome(f"{self.kind}: {self.group}", again.code == 0, rows, same, lost, named, details)

    def damaged(self, content: bytes) -> bytes:
        """Return the content with the damage."""
        size = len(content)
        if self.kind != "one bit flipped":
            return content[
                : {"cut to nothing": 0, "cut to a byte": 1, "cut to half": size // 2, "cut by a byte": size - 1}[self.kind]
            ]
        at = int(self.place * size)
        return content[:at] + bytes([content[at] ^ 1 << int(self.place * size * 8) % 8]) + content[at + 1 :]

    @staticmethod
    def _named(ended: Ended, file: Path) -> bool:
        """Return whether the last line names the file; of a model, its folder is enough."""
        line = "".join(ended.said[-1:])
        names = (file.name, "bert", "model", "tokenizer") if file.parent.name == "bert" else (file.name, file.parent.name)
        return (
            ended.code == 1
            and "Traceback" not in ended.stderr
            and line.startswith("Error: ")
            and any(one in line for one in names)
        )


def _run_on(folder: Path) -> Ended:
    """Run the path from its beginning, where what is finished is skipped, as far as it goes."""
    for arguments in (TRAIN, BUILD):
        ended = run(folder, *arguments)
        if ended.code:
            break
    return ended


def _good(found: dict[str, bytes], file: Path, folder: Path) -> dict[str, bytes]:
    """Return, of the files of a folder, the atlas and the site, without the one that is damaged."""
    kept = (str(DATABASE), f"{SITE}/")
    return {name: content for name, content in found.items() if name.startswith(kept) and name != str(file.relative_to(folder))}


def _mend(ended: Ended, folder: Path, file: Path, whole: bytes) -> None:
    """Delete what a refusal says is to be deleted; else bring back the file."""
    told = re.search("[Dd]elete (?:the folder )?'([^']+)'", ended.stderr)
    if told is None:
        file.write_bytes(whole)
        return
    path = folder / told[1]
    assert path.is_relative_to(folder)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def damages(count: int, seed: int) -> Iterator[Damage]:
    """Yield damages of every group in turn, of every kind, at places that the seed draws."""
    draw = random.Random(seed)
    groups = list(GROUPS)
    for i in range(count):
        # A flip is as likely as all cuts together: it can fall on many places.
        kind = draw.choice([*KINDS, *KINDS[-1:] * 3])
        yield Damage(groups[i % len(groups)], kind, draw.random(), draw.random())


def outcomes(wanted: Reference, count: int, seed: int, folder: Path) -> Iterator[Outcome]:
    """Do damages one after the other, each in a folder that is gone after it unless something was wrong."""
    for i, damage in enumerate(damages(count, seed)):
        at = folder / f"damage-{i}"
        outcome = damage.done(wanted, at)
        if outcome.is_good:
            shutil.rmtree(at)
        yield outcome
