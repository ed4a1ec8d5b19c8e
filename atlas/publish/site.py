"""A baked site as a folder: what the bake wrote into it, and whether it is all still there."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from atlas.errors import SiteFaulty, SiteMissing
from atlas.publish.manifest import addresses
from atlas.site_files import content, plain_file

PAGE = "index.html"
RECORD = "baked.json"
"""Written by the bake: {"generator", "files": {path: sha256}}."""

Kind = Literal["missing", "changed", "payload", "link", "script", "request", "policy", "view", "scene"]

_POLICY = {"default-src": "'none'", "script-src": "'self'"}
"""What keeps scripts of others, and requests to others, out of the page."""
_RECEIVED = re.compile(r"atlas\.receive\((\"(?:[^\"\\]|\\.)*\"),(.*)\);\n?", re.DOTALL)
_NAMED_AFTER_CONTENT = re.compile(r"data/(.+)\.([0-9a-f]{12})\.js")


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a site."""

    kind: Kind
    where: str
    """A file of the site, or a view: how it was opened, and its address after the #."""
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class Site:
    """A folder that a bake wrote."""

    folder: Path
    files: dict[str, str]
    """Hash (sha256, hex) of each file the bake wrote, by its path in the folder."""

    @classmethod
    def open(cls, folder: Path) -> Site:
        """Read what the bake wrote down.

        Raises:
            SiteMissing: the folder is not a baked site.
        """
        if not folder.is_dir():
            raise SiteMissing(f"There is no folder {str(folder)!r}. Name the folder that `atlas bake --out` wrote.")
        if plain_file(folder, PAGE) is None:
            raise SiteMissing(f"{str(folder)!r} holds no {PAGE}. Name the folder that `atlas bake --out` wrote.")
        try:
            files = json.loads(content(folder, RECORD))["files"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            raise SiteMissing(f"{str(folder)!r} has no {RECORD} that can be read. Bake it again with `atlas bake`.") from error
        if not (isinstance(files, dict) and all(isinstance(digest, str) for digest in files.values())):
            raise SiteMissing(f"The {RECORD} of {str(folder)!r} lists no files. Bake it again with `atlas bake`.")
        if PAGE not in files:
            raise SiteMissing(f"The {RECORD} of {str(folder)!r} does not list {PAGE}. Bake it again with `atlas bake`.")
        return cls(folder.resolve(), files)

    def manifest(self) -> dict[str, Any]:
        """Return the payload that the page starts with.

        Raises:
            SiteFaulty: the page cannot be read, or names none.
        """
        try:
            page = Page.of(self.folder)
            manifest = payload(content(self.folder, page.manifest))[1]
            if not isinstance(manifest, dict):
                raise ValueError("it is a payload of another kind")
        except (OSError, ValueError) as error:
            where = f"{str(self.folder / PAGE)!r}"
            raise SiteFaulty(f"{where} names no manifest that can be read: {error}. Bake the site again.") from error
        return manifest

    def holds(self, address: str) -> bool:
        """Return whether a relative address leads to a file in the folder."""
        path = unquote(urlsplit(address).path)
        return any(plain_file(self.folder, name) is not None for name in (path, f"{path}/{PAGE}"))

    def faults(self) -> list[Fault]:
        """Return what is wrong with the files themselves: missing, changed, unreadable, or linked to and not there."""
        found = list(self._recorded())
        if found:
            return found
        try:
            page = Page.of(self.folder)
        except (OSError, ValueError) as error:
            return [Fault("link", PAGE, f"cannot be read: {error}")]
        found = [Fault("link", PAGE, f"leads to {link}, which is not there") for link in page.links if not self.holds(link)]
        if not self.holds(page.manifest) or not page.manifest:
            return [*found, Fault("missing", PAGE, "names no manifest that is there")]
        try:
            names = list(addresses(self.manifest()["files"]))
        except (SiteFaulty, LookupError, TypeError, AttributeError):
            return [*found, Fault("payload", PAGE, f"names {page.manifest!r}, which is no manifest")]
        return found + [Fault("missing", name, "is not there; the manifest names it") for name in names if not self.holds(name)]

    def policy_faults(self) -> list[Fault]:
        """Return what the page's own policy lets in: from disk, and on a host without headers, there is no other."""
        policy = Page.of(self.folder).policy
        if policy is None:
            return [Fault("policy", PAGE, "has no Content-Security-Policy of its own")]
        directives = {name: rest for name, *rest in (directive.split() for directive in policy.split(";") if directive.strip())}
        return [
            Fault(
                "policy",
                PAGE,
                f"its Content-Security-Policy says {' '.join([name, *directives.get(name, [])])}, not {name} {wanted}",
            )
            for name, wanted in _POLICY.items()
            if directives.get(name) != [wanted]
        ]

    def _recorded(self) -> Iterator[Fault]:
        for name, digest in sorted(self.files.items()):
            path = plain_file(self.folder, name)
            if path is None:
                yield Fault("missing", name, "is not there; the bake wrote it")
            elif (fault := _content_fault(self.folder, name, digest, path)) is not None:
                yield fault


def payload(script: bytes) -> tuple[str, Any]:
    """Return the name and the value that a payload's script hands to the page.

    Raises:
        ValueError: it is not one whole call of `atlas.receive` with JSON in it.
    """
    received = _RECEIVED.fullmatch(script.decode("utf-8"))
    if received is None:
        raise ValueError("it is not one call of atlas.receive")
    try:
        return json.loads(received[1]), json.loads(received[2])
    except RecursionError as error:
        raise ValueError("it is nested beyond what can be read") from error


def _content_fault(folder: Path, name: str, digest: str, path: Path) -> Fault | None:
    with path.open("rb") as file:  # a database is not read into memory
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    named = _NAMED_AFTER_CONTENT.fullmatch(name)
    if named:
        try:
            arrives_as, _ = payload(content(folder, name))
        except (OSError, ValueError):
            return Fault("payload", name, "cannot be read: cut short, or not a payload")
        if arrives_as != named[1]:
            return Fault("payload", name, f"hands the page {arrives_as!r}, which is not its name")
    if actual != digest:
        return Fault("changed", name, f"is not what the bake wrote: its sha256 begins {actual[:12]}, not {digest[:12]}")
    if named and not actual.startswith(named[2]):
        return Fault("changed", name, f"is not named after its content, whose sha256 begins {actual[:12]}")
    return None


class Page(HTMLParser):
    """The page's own links, and the manifest that it starts with."""

    def __init__(self) -> None:
        super().__init__()
        self.manifest = ""
        self.policy: str | None = None
        self.links: list[str] = []
        """Into the folder."""
        self.anchors: list[str] = []
        """Into the page: what stands behind the #, a route or the id of an element."""
        self.ids: set[str] = set()

    @classmethod
    def of(cls, folder: Path) -> Page:
        """Read the page of a site.

        Raises:
            OSError: there is none that can be read.
            ValueError: it is no page, or holds an address that is none.
        """
        page = cls()
        try:
            page.feed(content(folder, PAGE).decode("utf-8"))
        except AssertionError as error:  # how the parser says that a declaration is none
            raise ValueError(str(error)) from error
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what the tag leads to."""
        given = {name: value or "" for name, value in attrs}
        if tag == "html":
            self.manifest = given.get("data-manifest", "")
        if tag == "meta" and given.get("http-equiv", "").lower() == "content-security-policy":
            self.policy = given.get("content", "")
        for link in (given.get("href", ""), given.get("src", "")):
            scheme, host, path, _, anchor = urlsplit(link)
            if path and not scheme and not host:
                self.links.append(link)
            elif anchor and not scheme and not host:
                self.anchors.append(anchor)
        if "id" in given:
            self.ids.add(given["id"])
