"""Whether a site's files are those that the bake wrote: each there, unchanged, named after its content, and no other."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atlas.bake.folder import ASSETS, DATA, DOWNLOAD, PAGE, RECORD, WORKING, Record
from atlas.bake.payloads import DIGITS, MANIFEST
from atlas.bake.templates import assets_digest, templates_root
from atlas.errors import SiteMissing
from atlas.publish.manifest import addresses
from atlas.publish.site import Page, payload
from atlas.site_files import content, plain_file
from atlas.verify.report import Check, Fault, Progress, expected, shown

VENDOR = "vendor"
"""The folder of scripts by others, among the assets."""
_NAMED = re.compile(rf"{DATA}/(.+)\.([0-9a-f]{{{DIGITS}}})\.js")


@dataclass
class Baked:
    """A site as far as it can be read."""

    folder: Path
    page: Page
    """Without a link where the page cannot be read."""
    manifest: dict[str, Any] = field(default_factory=dict)
    """Empty where there is none that can be read."""
    named: dict[str, Path] = field(default_factory=dict)
    """The file of each payload that the manifest names and that is there, by the payload's name."""

    @classmethod
    def of(cls, folder: Path) -> Baked:
        """Read what the page starts with.

        Raises:
            SiteMissing: the folder is no baked site.
        """
        if not folder.is_dir():
            raise SiteMissing(f"There is no folder {str(folder)!r}. Name the folder that `atlas bake --out` wrote.")
        if not any((folder / name).exists() for name in (PAGE, RECORD, DATA)):
            raise SiteMissing(f"{str(folder)!r} is no baked site. Name the folder that `atlas bake --out` wrote.")
        try:
            page = Page.of(folder)
        except (OSError, ValueError):
            return cls(folder, Page())
        try:
            _, manifest = payload(content(folder, page.manifest))
            names = [(address, _NAMED.fullmatch(address)) for address in addresses(manifest["files"])]
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return cls(folder, page)
        found = {match[1]: folder / address for address, match in names if match and plain_file(folder, address)}
        return cls(folder, page, manifest, found)

    def read(self, name: str) -> Any:
        """Return the value of a payload that the manifest names; None where it is not there or cannot be read."""
        try:
            return payload(content(self.folder, self.named[name].relative_to(self.folder).as_posix()))[1]
        except (KeyError, OSError, ValueError):
            return None


def verify_files(site: Baked, progress: Progress) -> Iterator[Check]:
    """Give what is wrong with the files of a site: by its record, by their names, and as payloads."""
    progress("files")
    record = Record.read(site.folder)
    written = [path for part in (ASSETS, DATA, DOWNLOAD) for path in _files(site.folder / part)]
    found = {path.relative_to(site.folder).as_posix(): path for path in written}
    if record is None:
        lost = Fault("record", RECORD, "is not there, or cannot be read")
        yield Check("files", len(found), (lost, *_strange(site.folder, written)))
    else:
        faults = (*_recorded(site.folder, record, found), *_strange(site.folder, written))
        yield Check("files", len(record.files), faults)
    scripts = [name for name in found if name.startswith(f"{ASSETS}/")]
    yield Check("assets", len(scripts), (*_assets(site.folder), *_vendored(site.folder)))
    payloads = {name: path for name, path in found.items() if name.startswith(f"{DATA}/")}
    progress(f"{len(payloads):,} payloads")
    yield Check("payloads", len(payloads), (*_manifest(site, payloads), *_payloads(site.folder, payloads)))


def _files(folder: Path) -> list[Path]:
    """Return what is in a folder, but folders; nothing of one that is a link."""
    if folder.is_symlink():
        return []
    return sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def _strange(folder: Path, written: list[Path]) -> Iterator[Fault]:
    """Give what a bake leaves nowhere: links, pipes, devices, and a folder that it works in."""
    for path in (*(folder / name for name in (PAGE, RECORD, ASSETS, DATA, DOWNLOAD)), *written):
        where = path.relative_to(folder).as_posix()
        if path.is_symlink():
            yield Fault("strange", where, "is a link; a bake writes none")
        elif path.exists() and not path.is_file() and not path.is_dir():
            yield Fault("strange", where, "is no plain file")
    if (folder / WORKING).exists() or (folder / WORKING).is_symlink():
        yield Fault("strange", WORKING, "is left of a bake that was stopped, or one is under way; bake again")


def _recorded(folder: Path, record: Record, found: Mapping[str, Path]) -> Iterator[Fault]:
    recorded = record.files
    for name in record.strange:
        yield Fault("record", RECORD, f"lists {shown(name)}, which no bake writes")
    for name, digest in sorted(recorded.items()):
        path = plain_file(folder, name)
        if path is None:
            yield Fault("missing", name, "is not there; the bake wrote it")
            continue
        with path.open("rb") as file:  # a database is not read into memory
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        if actual != digest:
            yield Fault("changed", name, f"is not what the bake wrote ({expected(actual[:DIGITS], digest[:DIGITS])})")
    if PAGE not in recorded:
        yield Fault("record", RECORD, f"does not list {PAGE}")
    for name in found.keys() - recorded.keys():
        yield Fault("extra", name, "is not of the bake")


def _assets(folder: Path) -> Iterator[Fault]:
    """Give each folder of assets that is not named after what is in it."""
    for one in _own_folders(folder / ASSETS):
        names = [path.relative_to(one).as_posix() for path in _files(one)]
        digest = assets_digest({name: content(one, name) for name in names if plain_file(one, name)})
        if digest != one.name:
            yield Fault("assets", f"{ASSETS}/{one.name}", f"is not named after what is in it ({expected(digest, one.name)})")


def _own_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder; none that is a link."""
    if folder.is_symlink():
        return []
    return sorted(path for path in folder.glob("*") if path.is_dir() and not path.is_symlink())


def _vendored(folder: Path) -> Iterator[Fault]:
    """Give the scripts by others that are not those that this program brings."""
    listed = tomllib.loads((templates_root() / "static" / VENDOR / "VENDORED.toml").read_text(encoding="utf-8"))["package"]
    for one in (version / VENDOR for version in _own_folders(folder / ASSETS) if (version / VENDOR).is_dir()):
        for package in listed:
            for name, digest in package["sha256"].items():
                path = one / package["name"] / name
                where = path.relative_to(folder).as_posix()
                actual = hashlib.sha256(content(folder, where)).hexdigest() if plain_file(folder, where) else None
                if actual is None:
                    yield Fault("vendored", where, "is not there")
                elif actual != digest:
                    said = expected(actual[:DIGITS], digest[:DIGITS])
                    yield Fault("vendored", where, f"is not the file of {package['name']} {package['version']} ({said})")


def _manifest(site: Baked, payloads: Mapping[str, Path]) -> Iterator[Fault]:
    """Give what the page's manifest names and is not there, and payloads that are there and it does not name."""
    if not site.page.manifest:
        yield Fault("manifest", PAGE, "names no manifest, or cannot be read")
        return
    if not site.manifest:
        yield Fault("manifest", site.page.manifest, f"is named by {PAGE}, and is not there or cannot be read")
        return
    match = _NAMED.fullmatch(site.page.manifest)
    if match is None or match[1] != MANIFEST:
        yield Fault("manifest", PAGE, f"names {site.page.manifest!r}, which is no manifest")
    wanted = set(addresses(site.manifest["files"]))
    for name in sorted(wanted - payloads.keys()):
        yield Fault("missing", name, "is not there; the manifest names it")
    for name in sorted(payloads.keys() - wanted - {site.page.manifest}):
        yield Fault("extra", name, "is a payload that the manifest does not name")


def _payloads(folder: Path, payloads: Mapping[str, Path]) -> Iterator[Fault]:
    for name in payloads:
        match = _NAMED.fullmatch(name)
        if match is None:
            yield Fault("payload", name, "is not named as a payload is: data/<name>.<hash>.js")
            continue
        try:
            script = content(folder, name)
            arrives_as, _ = payload(script)
        except (OSError, ValueError):
            yield Fault("payload", name, "cannot be read: cut short, or no payload")
            continue
        if arrives_as != match[1]:
            yield Fault("payload", name, f"hands the page another payload ({expected(arrives_as, match[1])})")
        digest = hashlib.sha256(script).hexdigest()[:DIGITS]
        if digest != match[2]:
            yield Fault("payload", name, f"is not named after its content ({expected(digest, match[2])})")
