"""The whole path, train to bake, at a tiny size through the real commands, in processes that a fault can be done to.

A command is forked from a process that has imported everything (`warm`), in a folder of its own, with its output in files.
`Reference` holds what a run without faults leaves; `assert_as_without_faults` compares a folder with it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import polars as pl

import atlas
import tiny
from atlas.store import Store

ROOT = Path(atlas.__file__).parents[1]
CHECKPOINT = "work/train/checkpoint"
DATABASE = Path("work/atlas.duckdb")
SITE = Path("site")
SUBJECT = ("--checkpoint", CHECKPOINT)
TEXT = ("--corpus", "text.jsonl")

TRAIN = (
    *("train", "--model", "bert", "--hook", tiny.HOOKS["bert"], *TEXT, "--experts", "12", "--width", "4", "--k", "3"),
    *("--steps", "12", "--batch", "64", "--window-tokens", "24", "--buffer-rows", "256", "--save-every", "2", "--log-every", "2"),
)
BUILD = ("build", *SUBJECT, *TEXT, "--out", "site")
STAGES: Mapping[str, Sequence[str]] = {
    "train": TRAIN,
    "harvest": ("harvest", *SUBJECT, *TEXT),
    "probe": ("probe", *SUBJECT),
    "geometry": ("geometry", *SUBJECT),
    "evaluate": ("evaluate", *SUBJECT, *TEXT),
    "assemble": ("assemble",),
    "bake": ("bake", str(DATABASE), "--out", "site"),
}
"""The commands of the path, in order."""

EARLIER = (*BUILD, "--tasks", "months", "--title", "An earlier site")
"""Another configuration of the same path: what a folder may hold already when a fault comes."""

PATIENCE_S = 120.0
"""How long a command may take before the harness calls it hung."""

_warm = multiprocessing.get_context("forkserver")
_warm.set_forkserver_preload(["warm"])


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    """Exit code; of a process that a signal ended, less than 0."""
    stdout: str
    stderr: str
    seconds: float
    """Of a processor's time; NaN where it was killed."""

    @property
    def said(self) -> list[str]:
        """The lines on stderr, without what progress bars draw."""
        return [
            line
            for line in self.stderr.replace("\r", "\n").splitlines()
            if line.strip() and "%|" not in line and "it/s" not in line
        ]


class Running:
    """A command under way."""

    def __init__(self, folder: Path, process: ForkServerProcess, heard: Connection, name: str) -> None:
        self._folder, self._process, self._heard, self._name = folder, process, heard, name
        self._before = float(heard.recv())
        """Of a processor's time, before the command began."""
        self._begun = time.monotonic()
        self.pid: int = process.pid or 0

    def after(self, seconds: float) -> bool:
        """Wait until it has used so much of a processor's time, or to its end, and return whether it is still running.

        On a busy machine it comes as far in that time as on one that does nothing else.
        """
        # What the system calls the clock of a process' processor time, by clock_getcpuclockid(3).
        clock = ~self.pid << 3 | 2
        while self._process.is_alive():
            try:
                used = time.clock_gettime(clock) - self._before
            except OSError:
                # It has ended since.
                break
            if used >= seconds:
                return True
            self._process.join(0.001)
            assert time.monotonic() < self._begun + PATIENCE_S, self.said()
        return False

    def send(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self._process.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def said(self) -> str:
        """Return what it has written to stderr so far."""
        return (self._folder / f".{self._name}.err").read_text("utf-8")

    def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so, which must be before the command ends."""
        while not is_so():
            assert self._process.is_alive() and time.monotonic() < self._begun + PATIENCE_S, self.said()
            time.sleep(0.002)

    def ended(self) -> Ended:
        """Wait for its end."""
        self._process.join(PATIENCE_S)
        if self._process.is_alive():
            self._process.kill()
            raise AssertionError(f"{self._name} did not end within {PATIENCE_S:.0f} s: {self.said()}")
        outputs = [self._folder / f".{self._name}.{ending}" for ending in ("out", "err")]
        stdout, stderr = (output.read_text("utf-8") for output in outputs)
        for output in outputs:
            output.unlink()
        try:
            seconds = float(self._heard.recv()) - self._before
        except EOFError:
            seconds = float("nan")
        self._heard.close()
        assert self._process.exitcode is not None
        return Ended(self._process.exitcode, stdout, stderr, seconds)


def _nothing() -> None:
    """What is done in a process before its command, where nothing is."""


def start(folder: Path, *arguments: str, first: Callable[[], None] = _nothing) -> Running:
    """Begin a command in a folder, in a process of its own that does `first` (a function of some module) before it."""
    # The process that others are forked from finds `warm` by this, and is begun with the first command.
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)])
    with _environment(PYTHONPATH=path, OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false"):
        heard, says = _warm.Pipe(duplex=False)
        name = f"command-{time.monotonic_ns()}"
        process = _warm.Process(target=_command, args=(str(folder), name, arguments, first, says))
        process.start()
    says.close()
    return Running(folder, process, heard, name)


def run(folder: Path, *arguments: str, first: Callable[[], None] = _nothing) -> Ended:
    """Run a command in a folder to its end."""
    return start(folder, *arguments, first=first).ended()


def finish(folder: Path, *arguments: str, first: Callable[[], None] = _nothing) -> Ended:
    """Run a command that has to end well."""
    ended = run(folder, *arguments, first=first)
    assert ended.code == 0, f"atlas {' '.join(arguments)} ended with {ended.code}: {ended.stderr}"
    return ended


def _command(folder: str, name: str, arguments: Sequence[str], first: Callable[[], None], says: Connection) -> None:
    """What the forked process does."""
    from pipelines.cli import main

    os.chdir(folder)
    for number, ending in ((1, "out"), (2, "err")):
        os.dup2(os.open(f".{name}.{ending}", os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", buffering=1, closefd=False) for number in (1, 2))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    first()
    says.send(time.process_time())
    try:
        main(list(arguments), prog_name="atlas")
    finally:
        says.send(time.process_time())


class _environment:
    """Variables of the environment that hold for a while."""

    def __init__(self, **values: str) -> None:
        self._values = values

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in self._values}
        os.environ.update(self._values)

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@dataclass(frozen=True)
class Reference:
    """What runs without faults left, and copies of their folders as each stage found them."""

    root: Path
    before: dict[str, dict[str, float]]
    """The paths, `new` and `earlier`, ► the stages of each, and `build` ► the seconds of a processor that it took.

    Their folders are `root/<path>/<stage>`.
    """
    tables: dict[str, pl.DataFrame]
    """Every table's rows, but those of the log."""
    site: dict[str, bytes]
    names: frozenset[str]
    """Every file in the folder, and below it."""
    earlier_tables: dict[str, pl.DataFrame]
    """Of the build of another configuration that the path `earlier` begins with."""
    earlier_site: dict[str, bytes]

    def copied(self, path: str, stage: str, to: Path) -> Path:
        """Return a new folder `to` as it was before a stage."""
        return Path(shutil.copytree(self.root / path / stage, to, symlinks=True))

    def built(self, to: Path) -> Path:
        """Return a new folder `to` in which everything is finished."""
        return Path(shutil.copytree(self.root / "built", to, symlinks=True))


def new_folder(folder: Path) -> Path:
    """Make a folder with a language model and text, and return it."""
    folder.mkdir(parents=True)
    tiny.language_model("bert", folder / "bert")
    lines = [json.dumps({"text": text}) for text in tiny.documents(30)]
    (folder / "text.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def reference(root: Path) -> Reference:
    """Run the path below `root` without any fault: stage by stage from nothing, by one build, and over an earlier atlas."""
    at = new_folder(root / "at")
    before: dict[str, dict[str, float]] = {"new": {}, "earlier": {}}

    def passed(path: str, stage: str, *arguments: str) -> None:
        shutil.copytree(at, root / path / stage, symlinks=True)
        before[path][stage] = finish(at, *arguments).seconds

    for stage, arguments in STAGES.items():
        passed("new", stage, *arguments)
    left = tables(at / DATABASE), files(at / SITE)
    shutil.rmtree(at)
    shutil.copytree(root / "new" / "harvest", at, symlinks=True)
    passed("new", "build", *BUILD)
    assert different(tables(at / DATABASE), left[0]) == different(files(at / SITE), left[1]) == []
    shutil.move(at, root / "built")

    shutil.copytree(root / "new" / "harvest", at, symlinks=True)
    finish(at, *EARLIER)
    earlier = tables(at / DATABASE), files(at / SITE)
    for stage in ("probe", "geometry", "assemble", "bake"):
        passed("earlier", stage, *STAGES[stage])
    shutil.rmtree(at)
    shutil.copytree(root / "earlier" / "probe", at, symlinks=True)
    passed("earlier", "build", *BUILD)
    assert different(tables(at / DATABASE), left[0]) == different(files(at / SITE), left[1]) == []
    shutil.rmtree(at)
    return Reference(root, before, *left, frozenset(files(root / "built")), *earlier)


def tables(database: Path) -> dict[str, pl.DataFrame]:
    """Return the rows of every table of an atlas, but those of the log, in their order."""
    with Store(database) as store:
        return {name: store.table(name) for name in store.row_counts() if name != "run_log"}


def files(folder: Path) -> dict[str, bytes]:
    """Return what is in the files below a folder, by their paths."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def different(found: Mapping[str, object], wanted: Mapping[str, object]) -> list[str]:
    """Return the names under which two mappings have not the same."""
    names = sorted({*found, *wanted})
    return [name for name in names if not _same(found.get(name), wanted.get(name))]


def _same(one: object, other: object) -> bool:
    return one.equals(other) if isinstance(one, pl.DataFrame) and isinstance(other, pl.DataFrame) else one == other


def leftovers(folder: Path, wanted: Reference) -> list[str]:
    """Return the files and empty folders that a run without faults does not leave."""
    found = (path for path in folder.rglob("*") if path.is_file() or path.is_dir() and not any(path.iterdir()))
    return sorted({str(path.relative_to(folder)) for path in found} - wanted.names)


def assert_as_without_faults(folder: Path, wanted: Reference) -> None:
    """Every row of the atlas and every byte of the site in a folder are those of a run without faults; nothing else is left."""
    assert different(tables(folder / DATABASE), wanted.tables) == []
    assert different(files(folder / SITE), wanted.site) == []
    assert leftovers(folder, wanted) == []
