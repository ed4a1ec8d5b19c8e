"""The same inputs, settings and versions give the same rows and the same bytes of a site, wherever and however they are run."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
import torch
from harness import DATABASE, ROOT, SITE, different, files, finish, run, tables

import tiny
from atlas.rebuild import Baked, rebuild
from atlas.store import Store

TEXTS = {"B.jsonl": 8, "a.jsonl": 8, "Z.jsonl": 9, "_.jsonl": 5}
"""Files of a corpus and their documents: an order of letters, one without case and that of a folder differ."""
ABOUT = "# Dağ\n\nThe author's own words, with an ı and an İ.\n"
BAKED = Baked(title="It is 1,5 'here'", about="about.md")
TRAINING = {
    **{"experts": 12, "width": 4, "k": 3, "steps": 12, "batch": 64, "window-tokens": 24},
    **{"buffer-rows": 256, "log-every": 3, "seed": 5, "learning-rate": 0.003},
}


@dataclass(frozen=True)
class World:
    """A folder with a model, text and a task, in which an atlas was built from them."""

    folder: Path
    tables: dict[str, pl.DataFrame]
    site: dict[str, bytes]

    def copied(self, to: Path) -> Path:
        """Return a new folder with the inputs and the trained dictionary, and nothing that a build made."""
        given(to)
        shutil.copytree(self.folder / "work" / "train", to / "work" / "train")
        return to

    def require_same(self, database: Path, site: Path) -> None:
        """Every row and every byte is as it was."""
        assert different(tables(database), self.tables) == []
        assert different(files(site), self.site) == []


def given(folder: Path, names: tuple[str, ...] = tuple(TEXTS)) -> Path:
    """Make a folder with everything that is built from; the text's files are written in the order of `names`."""
    (folder / "texts").mkdir(parents=True)
    tiny.language_model("bert", folder / "bert")
    documents = iter(tiny.documents(sum(TEXTS.values())))
    content = {name: "".join(json.dumps({"text": next(documents)}) + "\n" for _ in range(n)) for name, n in TEXTS.items()}
    for name in names:
        (folder / "texts" / name).write_text(content[name], encoding="utf-8")
    rows = [
        f"{label},the {subject} was {label} then" for subject in ("model", "ring", "year") for label in ("glad", "sad", "calm")
    ]
    (folder / "moods.csv").write_text("\n".join(["label,text", *rows]) + "\n", encoding="utf-8")
    (folder / "about.md").write_text(ABOUT, encoding="utf-8")
    return folder


def trained(folder: Path) -> tuple[str, ...]:
    options = (part for name, value in TRAINING.items() for part in (f"--{name}", str(value)))
    return ("train", "--model", str(folder / "bert"), "--hook", tiny.HOOKS["bert"], "--corpus", str(folder / "texts"), *options)


def subject(folder: Path) -> tuple[str, ...]:
    return ("--checkpoint", str(folder / "work/train/checkpoint"), "--model", str(folder / "bert"))


def text(folder: Path) -> tuple[str, ...]:
    return ("--corpus", str(folder / "texts"), "--tokens", "1500")


def baked(folder: Path) -> tuple[str, ...]:
    assert BAKED.title is not None
    return ("--title", BAKED.title, "--about", str(folder / "about.md"))


def build(folder: Path) -> tuple[str, ...]:
    """Return a build whose every path is below a folder."""
    return ("build", *subject(folder), *text(folder), "--task", str(folder / "moods.csv"), "--seed", "3", *baked(folder))


def placed(folder: Path) -> tuple[str, ...]:
    return ("--work", str(folder / "work"), "--out", str(folder / "site"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = given(tmp_path_factory.mktemp("a-world-of-ours") / "here")
    finish(folder, *trained(folder))
    finish(folder, *build(folder))
    yield World(folder, tables(folder / DATABASE), files(folder / SITE))


# Settings of a process


def abroad() -> None:
    """Another time zone, user, home, width of the terminal, and permissions of new files; folders are listed the other way."""
    os.environ.update(TZ="Pacific/Kiritimati", HOME="/nowhere", USER="ayşe", COLUMNS="23", LC_ALL="tr_TR.UTF-8")
    time.tzset()
    os.umask(0o077)
    listed = os.listdir
    os.listdir = lambda *given: sorted(listed(*given), reverse=True)  # type: ignore[assignment]


def two_threads() -> None:
    torch.set_num_threads(2)


def after_another() -> None:
    """Build in another folder first, in this very process."""
    from pipelines.cli import main

    before = Path("before").absolute()
    main(list((*build(before), *placed(before))), prog_name="atlas", standalone_mode=False)


# Rows and bytes


def test_a_fresh_interpreter_without_utf_8_elsewhere_gives_the_same(world: World, tmp_path: Path) -> None:
    """Other hashes of strings, the C locale in which files are ASCII unless told, another time zone, home and width."""
    folder = world.copied(tmp_path / "far away")
    # What chooses a library's instructions is the machine's, as its processor is.
    machine = {name: value for name, value in os.environ.items() if name.startswith(("OPENBLAS_", "MKL_"))}
    environment = machine | {
        **{"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests", Path(__file__).parent)))},
        **{"PYTHONHASHSEED": "77", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "TZ": "America/St_Johns"},
        **{"HOME": str(tmp_path / "home"), "COLUMNS": "17", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    }
    command = "import warm; from pipelines.cli import main; main()"
    arguments = [sys.executable, "-c", command, *build(folder), *placed(folder)]

    done = subprocess.run(arguments, cwd="/", env=environment, umask=0o027, capture_output=True, check=False)

    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    world.require_same(folder / DATABASE, folder / SITE)


def test_shards_in_any_order_and_stages_by_several_processes_give_the_same(world: World, tmp_path: Path) -> None:
    folder = given(tmp_path / "İ çok uzak", tuple(reversed(TEXTS)))
    shutil.copytree(world.folder / "work" / "train", folder / "work" / "train")
    here = Path()
    for shard in ("2/3", "0/3", "1/3"):
        work = ("--work", f"part-{shard[0]}")
        finish(folder, "harvest", *subject(here), *text(here), "--shard", shard, "--seed", "3", *work, first=abroad)
    finish(folder, "merge", "part-1", "part-2", "part-0", "--work", "work", first=abroad)
    finish(folder, "probe", *subject(here), "--task", "moods.csv", "--seed", "3", first=abroad)
    finish(folder, "geometry", "--checkpoint", "work/train/checkpoint", "--workers", "2", "--seed", "3")
    finish(folder, "evaluate", *subject(here), "--corpus", "./texts/", "--tokens", "300", first=abroad)
    finish(folder, "assemble", first=abroad)
    finish(folder, "bake", *baked(here), first=abroad)

    world.require_same(folder / DATABASE, folder / SITE)


def test_the_second_of_two_builds_in_one_process_is_like_the_first(world: World, tmp_path: Path) -> None:
    folder = world.copied(tmp_path / "again")
    world.copied(folder / "before")

    finish(folder, *build(Path("../again")), *placed(folder), first=after_another)

    for made in (folder, folder / "before"):
        world.require_same(made / DATABASE, made / SITE)


def test_an_atlas_is_baked_to_the_same_bytes_on_another_machine(world: World, tmp_path: Path) -> None:
    shutil.copy(world.folder / DATABASE, tmp_path / "taken along.duckdb")
    shutil.copy(world.folder / "about.md", tmp_path / "about.md")

    finish(tmp_path, "bake", "taken along.duckdb", "--out", "elsewhere", *baked(Path()), first=abroad)

    assert different(files(tmp_path / "elsewhere"), world.site) == []


def test_the_data_that_a_site_takes_along_are_the_same_but_for_bytes_of_the_database(world: World, tmp_path: Path) -> None:
    for out, first in (("one", abroad), ("other", two_threads)):
        finish(tmp_path, "bake", str(world.folder / DATABASE), "--out", out, "--with-data", first=first)

    # DuckDB does not clear all that it writes, and the site's record holds the file's hash.
    database = "download/atlas.duckdb"
    assert different(files(tmp_path / "one"), files(tmp_path / "other")) in ([], ["baked.json", database])
    assert different(tables(tmp_path / "one" / database), tables(tmp_path / "other" / database)) == []


# Provenance


def test_the_lines_that_an_atlas_prints_build_it_again_where_only_its_files_are(world: World, tmp_path: Path) -> None:
    with Store(world.folder / DATABASE) as store:
        made = rebuild(store.provenance(), BAKED)
    folder = tmp_path / "fresh"
    for needed in made.files:
        (folder / needed.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(world.folder / needed.path, folder / needed.path)
    shutil.copy(world.folder / "about.md", folder)

    for line in made.lines:
        threads, atlas, *words = shlex.split(line)
        assert (threads, atlas) == ("OMP_NUM_THREADS=1", "atlas")
        finish(folder, *words)

    assert [line.split()[2] for line in made.lines] == ["train", "build"]
    world.require_same(folder / DATABASE, folder / SITE)


def test_inspect_prints_the_line(world: World) -> None:
    told = finish(world.folder, "inspect", str(DATABASE)).stdout

    assert "OMP_NUM_THREADS=1 atlas train --model bert " in told
    assert "OMP_NUM_THREADS=1 atlas build --checkpoint work/train/checkpoint --model bert " in told


def test_no_path_of_the_machine_is_in_an_atlas_or_a_site(world: World) -> None:
    secrets = ("a-world-of-ours", str(Path.home()) + "/", str(ROOT))
    held = {name: frame.write_ndjson() for name, frame in world.tables.items()}
    held |= {name: content.decode("utf-8", "replace") for name, content in world.site.items()}

    assert [(name, secret) for name, content in held.items() for secret in secrets if secret in content] == []


# Threads


@pytest.mark.parametrize("stage", ["harvest", "probe"])
def test_another_number_of_threads_is_refused_with_both_and_what_to_set(stage: str, world: World, tmp_path: Path) -> None:
    folder = world.copied(tmp_path / "threads")
    shutil.copytree(world.folder / "work" / "harvest", folder / "work" / "harvest")
    options = text(Path()) if stage == "harvest" else ("--task", "moods.csv")

    ended = run(folder, stage, *subject(Path()), *options, "--seed", "3", first=two_threads)

    assert ended.code == 1
    assert "another device (threads: 1, now 2). Set OMP_NUM_THREADS=1 to go on with it" in ended.said[-1]
