"""Whether a site shows what its database says: every payload baked anew, and numbers read back and compared with the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from atlas.bake import BakeConfig, bake
from atlas.bake.folder import PAGE
from atlas.errors import AtlasDamaged, ConfigError
from atlas.publish.manifest import column
from atlas.site_files import content
from atlas.store import Store
from atlas.verify.links import UNDAMAGED
from atlas.verify.read_back import Rows
from atlas.verify.report import Check, Fault, Progress, expected
from atlas.verify.scratch import scratch_folder
from atlas.verify.site import Baked

PROVENANCE = "provenance"
OF_DATABASE = ("schema_version", "contents_sha256")
"""What that payload says of the database beside its provenance."""
FLOATS = ("value", "rate", "importance", "mean_norm")
WHOLE = ("firings", "silent", "dense")
TEXTS = ("title", "basis", "title_task", "measure")


def verify_beside(site: Baked, database: Path, experts: int, seed: int, progress: Progress) -> Iterator[Check]:
    """Give what a site's page and payloads say and its database does not; `experts` are read back, chosen with a seed.

    Raises:
        StorageError: the temporary folder cannot hold the site that is baked anew.
    """
    if not site.manifest:
        return
    try:
        with scratch_folder() as folder:
            progress("bake the database anew")
            bake(database, folder / "site", _asked_for(site))
            anew = Baked.of(folder / "site")
            yield _against(site, anew)
            yield _page(site, anew)
        with Store(database) as store:
            progress("read payloads back")
            yield _manifest(site, store)
            yield _pages(site, store, experts, seed)
    except AtlasDamaged as error:
        yield Check("database", 1, (Fault("database", database.name, str(error)),))


def _against(site: Baked, anew: Baked) -> Check:
    """Compare payloads with those that the database gives, byte for byte; the manifest is one of them.

    Of what a payload says of the bake itself, such as its title, only the database's part is compared.
    """
    faults = []
    for name in dict.fromkeys([*anew.named, *site.named]):
        if name not in site.named or name not in anew.named:
            said = "is not there; the database gives it" if name in anew.named else "is none that the database gives"
            faults.append(Fault("payload", name, said))
        elif not (_of_database(site, anew) if name == PROVENANCE else _same_bytes(site.named[name], anew.named[name])):
            faults.append(Fault("payload", name, "is not what the database gives"))
    own, wanted = (_without_provenance(one.manifest) for one in (site, anew))
    if own != wanted:
        keys = [key for key in {**wanted, **own} if own.get(key) != wanted.get(key)]
        faults.append(Fault("payload", "atlas", f"is not what the database gives: {', '.join(keys)}"))
    return Check("baked anew", len(anew.named) + 1, tuple(faults))


def _asked_for(site: Baked) -> BakeConfig:
    """Return what the author asked the bake for, as far as the site says it and it takes no file of theirs."""
    try:
        told = site.read(PROVENANCE)["bake"]
        return BakeConfig(title=told["title"], with_data=told["with_data"] is True)
    except (ConfigError, *UNDAMAGED):
        return BakeConfig()


def _page(site: Baked, anew: Baked) -> Check:
    """Compare the page itself with the one that the database gives, byte for byte, where no file of the author's is in it."""
    try:
        told, wanted = site.read(PROVENANCE)["bake"], anew.read(PROVENANCE)["bake"]
        authors = [name for name in ("about", "templates") if told[name] is not None]
    except UNDAMAGED:
        return Check("page", 0, (), "not compared: the site does not say what it was baked with")
    if authors:
        verb = "is" if len(authors) == 1 else "are"
        return Check("page", 0, (), f"not compared: {' and '.join(authors)} {verb} the author's own, and not in the database")
    if told == wanted and content(site.folder, PAGE) == content(anew.folder, PAGE):
        return Check("page", 1)
    others = [name for name in wanted if told.get(name) != wanted[name]]
    said = f"; it says that it was baked with another {', '.join(others)}" if others else ""
    return Check("page", 1, (Fault("page", PAGE, f"is not what the database gives{said}"),))


def _same_bytes(one: Path, other: Path) -> bool:
    same_size = one.name == other.name and one.stat().st_size == other.stat().st_size
    return same_size and one.read_bytes() == other.read_bytes()


def _of_database(site: Baked, anew: Baked) -> bool:
    """Return whether the payload of provenance says of the database what it is."""
    told, wanted = site.read(PROVENANCE), anew.read(PROVENANCE)
    try:
        return told["atlas"] == wanted["atlas"] and all(told["bake"][name] == wanted["bake"][name] for name in OF_DATABASE)
    except UNDAMAGED:
        return False


def _without_provenance(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {**manifest, "files": {name: digest for name, digest in manifest["files"].items() if name != PROVENANCE}}


def _manifest(site: Baked, store: Store) -> Check:
    """Compare the columns of the manifest with the rows that they are of."""
    try:
        told = {name: column(site.manifest["experts"][name]) for name in ("expert", *TEXTS, *FLOATS, *WHOLE)}
        return Check("experts read back", len(told["expert"]), tuple(_experts(told, store)))
    except UNDAMAGED as error:
        return Check("experts read back", 0, (Fault("shown", "atlas", f"its experts cannot be read: {error}"),))


def _experts(told: Mapping[str, list[Any]], store: Store) -> Iterator[Fault]:
    rows = {row["expert"]: row for row in store.experts().iter_rows(named=True)}
    for place, expert in enumerate(told["expert"]):
        row = rows.get(expert)
        where = f"atlas, expert {expert}"
        if row is None:
            yield Fault("shown", where, "the database has no such expert")
            continue
        for name in (*TEXTS, *WHOLE):
            if told[name][place] != row[name]:
                yield Fault("shown", where, f"another {name} ({expected(told[name][place], row[name])})")
        for name in FLOATS:
            wanted = None if row[name] is None else float(np.float32(row[name]))
            if told[name][place] != wanted:
                yield Fault("shown", where, f"another {name} ({expected(told[name][place], wanted)})")
    if told["expert"] != list(rows):
        yield Fault("shown", "atlas", "the experts do not stand in the order of their importance")


def _pages(site: Baked, store: Store, experts: int, seed: int) -> Check:
    """Compare what some experts' pages show with the rows that it is of."""
    numbers = store.table("experts")["expert"].to_numpy()
    chosen = sorted(np.random.default_rng(seed).choice(numbers, min(experts, len(numbers)), replace=False).tolist())
    rows = Rows(store, chosen)
    shard = site.manifest["shards"]["experts"]
    order = column(site.manifest["experts"]["expert"])
    faults: list[Fault] = []
    payload: dict[str, Any] = {}
    texts, held = site.read("texts"), -1
    for expert in sorted(chosen, key=lambda one: order.index(one) if one in order else -1):
        if expert not in order:
            continue
        if (wanted := order.index(expert) // shard) != held:
            payload, held = site.read(f"experts/{wanted}") or {}, wanted
        where = f"experts/{held}, expert {expert}"
        try:
            faults += [Fault("shown", where, wrong) for wrong in rows.page_faults(expert, payload[str(expert)], texts)]
        except UNDAMAGED as error:
            faults.append(Fault("shown", where, f"cannot be read: {error}"))
    return Check("pages read back", len(chosen), tuple(faults))
