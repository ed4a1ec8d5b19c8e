"""What a path holds ► everything that can be looked at in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from atlas.assemble import ATLAS_FILE
from atlas.bake.folder import DATA, DOWNLOAD, PAGE, RECORD
from atlas.errors import AtlasDamaged, AtlasError, AtlasMissing, ConfigError, NothingToInspect
from atlas.site_files import plain_file
from atlas.store import Store
from atlas.store.copying import DATABASE
from atlas.verify.beside import verify_beside
from atlas.verify.database import verify_database
from atlas.verify.download import verify_download
from atlas.verify.links import verify_links
from atlas.verify.report import Check, Fault, Progress, Report
from atlas.verify.site import Baked, verify_files
from atlas.verify.work import is_work_folder, verify_work

if TYPE_CHECKING:
    from atlas.activations.model import LanguageModel
    from atlas.dictionary import Checkpoint


@dataclass(frozen=True)
class Holding:
    """What there is to look at."""

    site: Path | None = None
    work: Path | None = None
    database: Path | None = None

    @classmethod
    def of(cls, path: Path, database: Path | None = None) -> Holding:
        """Return what a path holds: a site, with the database that is given or that it carries; a work folder; a database.

        Raises:
            AtlasMissing: there is nothing at the path.
            ConfigError: a second database is given.
            NothingToInspect: it is a folder of something else.
        """
        if not path.exists():
            raise AtlasMissing(f"There is nothing at {str(path)!r}. Name a site, an atlas.duckdb or a work folder.")
        if path.is_dir() and any((path / name).exists() for name in (PAGE, RECORD, DATA)):
            return cls(site=path, database=database or plain_file(path, f"{DOWNLOAD}/{DATABASE}"))
        if database is not None:
            raise ConfigError(f"--db is for a site, and {str(path)!r} is none. Leave it out, or name the site.")
        if not path.is_dir():
            return cls(database=path)
        if not is_work_folder(path):
            raise NothingToInspect(f"{str(path)!r} is no site and no work folder. Name one of them, or an atlas.duckdb.")
        own = path / ATLAS_FILE
        return cls(work=path, database=own if own.is_file() else None)


@dataclass(frozen=True)
class Sampled:
    """How much of what is looked at in part."""

    firings: int = 200
    experts: int = 64
    """Of a site beside its database, those whose pages are read back."""
    seed: int = 0


def verify(
    holding: Holding, checkpoint: Checkpoint | None, model: LanguageModel | None, sampled: Sampled, progress: Progress
) -> Report:
    """Look at everything there is, and with a checkpoint or a model also at what was found with them.

    What keeps it from going on, such as a database of another version or a full temporary folder, stands in the report.
    """
    checks: list[Check] = []
    try:
        checks.extend(_checks(holding, checkpoint, model, sampled, progress))  # keeps those that came before an error
    except AtlasError as error:
        return Report(tuple(checks), error)
    return Report(tuple(checks))


def _checks(
    holding: Holding, checkpoint: Checkpoint | None, model: LanguageModel | None, sampled: Sampled, progress: Progress
) -> Iterator[Check]:
    site = None if holding.site is None else Baked.of(holding.site)
    if site is not None:
        yield from _all_of("files", verify_files(site, progress))
        yield from _all_of("links", verify_links(site, progress))
    if holding.work is not None:
        yield from _all_of("work folder", verify_work(holding.work, progress))
    if holding.database is None:
        if checkpoint is not None:
            raise ConfigError("There is no database to compare the checkpoint with. Name one with --db.")
        return
    yield from _all_of("database", verify_database(holding.database, progress))
    try:
        if site is not None:
            if holding.database.parent == site.folder / DOWNLOAD:
                yield from _all_of("tables as Parquet", verify_download(holding.database.parent, holding.database))
            beside = verify_beside(site, holding.database, sampled.experts, sampled.seed, progress)
            yield from _all_of("site beside its database", beside)
        if checkpoint is not None:
            yield from _subject(holding.database, checkpoint, model, sampled, progress)
    except AtlasDamaged as error:
        yield Check("database", 1, (Fault("database", holding.database.name, str(error)),))


def _all_of(name: str, checks: Iterator[Check]) -> Iterator[Check]:
    """Give checks. What none of them foresees is a fault too: whoever made it must not keep the others from being told."""
    try:
        yield from checks
    except AtlasError:
        raise
    except Exception as error:
        yield Check(name, 0, (Fault("unreadable", name, f"cannot be looked at to its end: {type(error).__name__} {error}"),))


def _subject(
    database: Path, checkpoint: Checkpoint, model: LanguageModel | None, sampled: Sampled, progress: Progress
) -> Iterator[Check]:
    from atlas.verify.firings import verify_firings
    from atlas.verify.subject import checkpoint_check, model_check

    with Store(database) as store:
        yield checkpoint_check(store, checkpoint)
        if model is not None:
            yield model_check(store, model)
            yield from verify_firings(store, checkpoint, model, sampled.firings, sampled.seed, progress)
