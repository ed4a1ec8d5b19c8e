"""Commands of the path on a disk that is full or read-only, and what the next run makes of it."""

from __future__ import annotations

import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from harness import BUILD, DATABASE, SITE, STAGES, SUBJECT, Ended, Reference, files, run
from outcomes import Outcome, rows_and_bytes

COMMANDS: Mapping[str, Sequence[str]] = {
    **STAGES,
    "bake --with-data": ("bake", str(DATABASE), "--out", "site", "--with-data"),
    "figure, SVG": ("figure", "--out", "site/figure.svg"),
    "figure, PDF": ("figure", "--out", "site/figure.pdf"),
    "figure, PNG": ("figure", "--out", "site/figure.png"),
    "embed": ("embed", "--out", "site/embedded.html"),
    "trace --db": ("trace", "We meet in May.", *SUBJECT, "--db", str(DATABASE)),
}
"""Everything that writes; figures and embedded pages are of an expert that is named behind them."""

PAGE = 4096
"""Bytes that a small disk gives at once."""


class SmallDisk(NamedTuple):
    """A file system of its own, in memory."""

    folder: Path

    def leave(self, room: int) -> None:
        """Let so many bytes more fit onto it."""
        self._remount(f"size={self.used() + max(PAGE, room // PAGE * PAGE)}")

    def protect(self, is_protected: bool) -> None:
        """Let nothing be written, or anything."""
        self._remount("ro" if is_protected else "rw")

    def used(self) -> int:
        """Return how many bytes it holds."""
        return sum(PAGE * -(-path.lstat().st_size // PAGE) for path in self.folder.rglob("*") if path.is_file())

    def _remount(self, option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", str(self.folder)], check=True)


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """Give a disk at a new folder, with room for anything.

    Raises:
        PermissionError: this user may mount nothing here.
    """
    folder.mkdir(parents=True)
    if sys.platform != "linux" or shutil.which("mount") is None:
        raise PermissionError("there is no mount")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(folder)], capture_output=True, text=True)
    if made.returncode:
        raise PermissionError(made.stderr.strip())
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


@contextmanager
def on_small_disk(wanted: Reference, command: str, folder: Path) -> Iterator[SmallDisk]:
    """Give a new folder as it is before a command, whose work and site are on a small disk."""
    stages = wanted.before["earlier"]
    if command in stages:
        wanted.copied("earlier", command, folder)
    elif command in STAGES:
        wanted.copied("new", command, folder)
    else:
        wanted.built(folder)
    with small_disk(folder.with_name(f"{folder.name}-disk")) as disk:
        for name in ("work", "site"):
            (folder / name).mkdir(exist_ok=True)
            shutil.move(folder / name, disk.folder / name)
            (folder / name).symlink_to(disk.folder / name)
        yield disk


def _bring_back(folder: Path, disk: SmallDisk) -> None:
    """Give a folder what it has on a small disk."""
    for name in ("work", "site"):
        (folder / name).unlink()
        shutil.move(disk.folder / name, folder / name)


def limit_files(size: int) -> None:
    """Let no file of this process grow beyond so many bytes: what a full disk does, for who may not mount one."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@dataclass(frozen=True)
class Full:
    """A command with too little room."""

    command: str
    room: int
    """Bytes that are left."""
    by_limit: bool = False
    """Of each file, not of the disk."""

    def done(self, wanted: Reference, folder: Path) -> Outcome:
        """Run it in a new folder, then with room, and return what came of it."""
        if self.by_limit:
            wanted.copied("new", self.command, folder)
            return self._outcome(wanted, folder, None)
        with on_small_disk(wanted, self.command, folder) as disk:
            return self._outcome(wanted, folder, disk)

    def _outcome(self, wanted: Reference, folder: Path, disk: SmallDisk | None) -> Outcome:
        before = _kept(folder)
        if disk:
            disk.leave(self.room)
        arguments = with_expert(self.command, wanted)
        first = partial(limit_files, self.room) if self.by_limit else None
        ended = run(folder, *arguments, first=first) if first else run(folder, *arguments)
        lost = bool(ended.code) and any(_kept(folder).get(name) != content for name, content in before.items())
        if disk:
            disk.leave(1 << 30)
        again = run(folder, *arguments)
        rows = same = again.code == 0
        if again.code == 0 and self.command in STAGES:
            again = run(folder, *BUILD)
            if disk:
                _bring_back(folder, disk)
            rows, same = rows_and_bytes(folder, wanted)
        why = "File too large" if self.by_limit else "No space left on device"
        named = is_one_line(ended, why) if ended.code else None
        said = "files limited" if self.by_limit else "disk full"
        return Outcome(f"{said} in {self.command}", again.code == 0, rows, same, lost, named, f"{self}: {ended}; then {again}")


def is_one_line(ended: Ended, why: str) -> bool:
    """Return whether a command ended in a line that says why, and what could not be written."""
    line = "".join(ended.said[-1:])
    told = line.startswith("Error: ") and why in line and ("'" in line or "data" in line)
    return ended.code == 1 and told and "Traceback" not in ended.stderr


def with_expert(command: str, wanted: Reference) -> Sequence[str]:
    """Return a command of `COMMANDS` as it is written."""
    arguments = COMMANDS[command]
    expert = str(wanted.tables["points"]["expert"][0])
    return (arguments[0], expert, *arguments[1:]) if arguments[0] in ("figure", "embed") else arguments


def _kept(folder: Path) -> dict[str, bytes]:
    """Return the finished files of a folder: what is under way may go on, as far as there is room."""
    return {
        f"{name}/{path}": content
        for name in ("work", SITE)
        if (folder / name).exists()
        for path, content in files((folder / name).resolve()).items()
        if "under_way" not in path and not path.startswith(".")
    }


def fulls(wanted: Reference, count: int, seed: int) -> Iterator[Full]:
    """Yield every command in turn, with room for a share of what it writes that the seed draws."""
    draw = random.Random(seed)
    commands = list(COMMANDS)
    for i in range(count):
        command = commands[i % len(commands)]
        yield Full(command, int(needed(command, wanted) * draw.random() ** 2))


def needed(command: str, wanted: Reference) -> int:
    """Return about how many bytes a command writes."""
    database = (wanted.root / "built" / DATABASE).stat().st_size
    sizes = {"assemble": database, "bake --with-data": database, "trace --db": database, "bake": 3 << 20, "embed": 2 << 20}
    return sizes.get(command, 200_000)


def outcomes(wanted: Reference, count: int, seed: int, folder: Path) -> Iterator[Outcome]:
    """Fill disks one after the other, each folder of which is gone after it unless something was wrong."""
    for i, full in enumerate(fulls(wanted, count, seed)):
        at = folder / f"full-{i}"
        outcome = full.done(wanted, at)
        if outcome.is_good:
            shutil.rmtree(at)
        yield outcome
