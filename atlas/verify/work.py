"""Whether what the stages left in a work folder is whole, and the database is what it gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from atlas.assemble import ATLAS_FILE, STAGES, assemble, require_assemblable
from atlas.checkpoints import CONFIG_FILE, SUMS_FILE
from atlas.dictionary.as_written import unlike
from atlas.errors import AtlasError, StageMissing, StorageError
from atlas.sealed import read_arrays, read_json
from atlas.store import Store
from atlas.verify.report import Check, Fault, Progress, expected
from atlas.verify.scratch import scratch_folder

ADDED = ("prompts", "prompt_tokens", "prompt_norms")
"""Tables that no stage fills: `atlas trace` does."""
FOLDERS = ("train", *STAGES)


def is_work_folder(path: Path) -> bool:
    """Return whether a stage, or an assembly, has left anything here."""
    return (path / ATLAS_FILE).is_file() or any((path / stage).is_dir() for stage in FOLDERS)


def verify_work(work: Path, progress: Progress) -> Iterator[Check]:
    """Give the files of a work folder that are not what a stage wrote, and tables of its database that its stages do not give.

    Raises:
        StorageError: the temporary folder cannot hold the database that is assembled anew.
    """
    files = sorted(path for stage in FOLDERS for path in (work / stage).rglob("*") if path.is_file())
    progress(f"{len(files):,} files of the stages")
    checkpoints = {path.parent for path in files if path.name == CONFIG_FILE}
    arrays_and_json = (path for path in files if path.suffix in (".safetensors", ".json"))
    sealed = [path for path in arrays_and_json if checkpoints.isdisjoint(path.parents)]
    sums = [path for path in files if path.name == SUMS_FILE]
    faults = [fault for path in sealed for fault in _damaged(work, path)]
    faults += [fault for path in sums for fault in _changed(work, path)]
    yield Check("files of the stages", len(sealed) + len(sums), tuple(faults))
    try:
        require_assemblable(work)
    except StageMissing as error:
        yield Check("assembled anew", 0, (), str(error))
        return
    except AtlasError as error:
        yield Check("assembled anew", 0, (Fault("stage", str(work.name), str(error)),))
        return
    progress("assemble the database anew")
    yield Check("assembled anew", 1, tuple(_assembled(work)))


def _damaged(work: Path, path: Path) -> Iterator[Fault]:
    try:
        (read_arrays if path.suffix == ".safetensors" else read_json)(path)
    except AtlasError as error:
        yield Fault("stage", path.relative_to(work).as_posix(), str(error))


def _changed(work: Path, sums: Path) -> Iterator[Fault]:
    """Give what is wrong with a checkpoint by its list of hashes."""
    for path, said in unlike(sums.parent):
        yield Fault("stage", path.relative_to(work).as_posix(), said)


def _assembled(work: Path) -> Iterator[Fault]:
    if not (work / ATLAS_FILE).is_file():
        return
    with scratch_folder() as folder:
        for stage in STAGES:
            (folder / stage).symlink_to((work / stage).resolve(), target_is_directory=True)
        try:
            with Store(assemble(folder)) as anew, Store(work / ATLAS_FILE) as own:
                wanted, found = anew.contents(), own.computed_contents()
        except StorageError:
            raise
        except AtlasError as error:
            yield Fault("database", ATLAS_FILE, str(error))
            return
    for table in wanted:
        if table not in ADDED and found[table] != wanted[table]:
            said = expected(f"{found[table].rows:,} rows", f"{wanted[table].rows:,} rows")
            if found[table].rows == wanted[table].rows:
                said = "its values are others"
            yield Fault("database", f"{ATLAS_FILE}, {table}", f"is not what the stages give ({said})")
