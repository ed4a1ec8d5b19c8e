"""Where everything on a site comes from: what determined the atlas, what the bake added, and how both are made again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from atlas.bake.templates import Templates
from atlas.origins import hashed, shown_name
from atlas.rebuild import Baked, Needed, Rebuild, rebuild
from atlas.store import Content, identity

if TYPE_CHECKING:
    from atlas.bake.baking import BakeConfig

_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
"""A commit or a sha256."""

GROUPS = {
    "dictionary": "Dictionary",
    "model": "Model",
    "corpora": "Text",
    "training": "Training",
    "tasks": "Labelled tasks",
    "asked": "Tasks asked for",
    "settings": "Settings",
    "geometry": "Geometry",
    "evaluation": "Text for fidelity",
    "devices": "Devices",
    "versions": "Versions",
}
"""What the page shows of provenance, in order; what else an atlas says of its origin comes behind."""
TOLD_ELSEWHERE = ("corpus", "fidelity", "schema_version")
"""The first of the corpora once more, a finding, and what stands with the bake."""
FINDINGS = {"corpora": ("title", "description", "co_firing", "fidelity"), "geometry": ("overview",)}
"""What stands with what determined the result and was found, or is words of it."""


@dataclass(frozen=True)
class Fact:
    """One thing that determined the result."""

    name: str
    value: str
    is_hash: bool


@dataclass(frozen=True)
class Facts:
    """A heading with what stands under it."""

    title: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class ProvenancePage:
    """What the view of provenance shows."""

    lines: tuple[Markup, ...]
    """To paste, whole however long: nothing in them is hidden, see `atlas.rebuild.quoted`."""
    check: Markup
    needed: tuple[Needed, ...]
    hub: tuple[str, ...]
    machine: str
    """What the same bytes take: versions, device, threads."""
    prompts: int
    """That `atlas trace` added, and the lines do not."""
    groups: tuple[Facts, ...]


@dataclass(frozen=True)
class Bake:
    """What a bake adds to an atlas."""

    atlas: str
    """Version of Atlas."""
    schema_version: int
    contents_sha256: str
    """Of all that the tables of the atlas hold."""
    templates_sha256: str
    """Of the templates and static files."""
    title: str | None
    """The author's."""
    about: str | None
    """The name of the file with the author's words."""
    about_sha256: str | None
    templates: str | None
    """The name of the author's folder of templates."""
    templates_files: dict[str, str]
    """The sha256 of each file in it, by its path there."""
    with_data: bool

    @classmethod
    def of(
        cls,
        provenance: Mapping[str, Any],
        contents: Mapping[str, Content],
        templates: Templates,
        config: BakeConfig,
    ) -> Bake:
        """Return what a bake from these adds.

        Raises:
            OriginMissing: the file with the author's words is not there any more.
        """
        ((about, about_sha256),) = hashed([config.about]).items() if config.about else ((None, None),)
        return cls(
            atlas=version("expert-atlas"),
            schema_version=provenance["schema_version"],
            contents_sha256=identity(contents),
            templates_sha256=templates.sha256(),
            title=config.title,
            about=about,
            about_sha256=about_sha256,
            templates=shown_name(str(config.templates)) if config.templates else None,
            templates_files=templates.own_files(),
            with_data=config.with_data,
        )

    def _baked(self) -> Baked:
        words = () if self.about is None or self.about_sha256 is None else (Needed("words", self.about, self.about_sha256),)
        own = (Needed("template", f"{self.templates}/{name}", digest) for name, digest in self.templates_files.items())
        return Baked(self.title, self.about, self.templates, self.with_data, (*words, *own))

    def payload(self, provenance: Mapping[str, Any]) -> dict[str, Any]:
        """Return everything that determined the site, as data."""
        return {"bake": asdict(self), "atlas": dict(provenance)}

    def page(self, provenance: Mapping[str, Any], contents: Mapping[str, Content]) -> ProvenancePage:
        """Return everything that determined the site, in words."""
        made = rebuild(provenance, self._baked())
        others = {key: key.capitalize() for key in provenance if key not in (*GROUPS, *TOLD_ELSEWHERE)}
        given = _without_findings(provenance)
        groups = [Facts(title, tuple(_facts(given.get(key, {})))) for key, title in (GROUPS | others).items()]
        tables = {name: content.sha256 for name, content in contents.items() if content.rows}
        return ProvenancePage(
            lines=tuple(map(_verbatim, made.lines)),
            check=_verbatim(made.check),
            needed=made.files,
            hub=made.hub,
            machine=_machine(provenance, made),
            prompts=contents["prompts"].rows,
            groups=tuple(
                group
                for group in (Facts("Site", tuple(_facts(asdict(self)))), *groups, Facts("Tables", tuple(_facts(tables))))
                if group.facts
            ),
        )


def _without_findings(provenance: Mapping[str, Any]) -> dict[str, Any]:
    given = dict(provenance)
    given["corpora"] = [_without(corpus, FINDINGS["corpora"]) for corpus in provenance.get("corpora", [])]
    given["geometry"] = _without(provenance.get("geometry", {}), FINDINGS["geometry"])
    return given


def _without(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _verbatim(line: str) -> Markup:
    return Markup(escape(line))


def _machine(provenance: Mapping[str, Any], made: Rebuild) -> str:
    """Return what the same bytes take besides files."""
    versions = {**provenance["versions"], **provenance.get("geometry", {}).get("versions", {})}
    named = ", ".join(f"{'Atlas' if name == 'expert-atlas' else name} {number}" for name, number in versions.items())
    device = provenance.get("devices", {}).get("harvest")
    return f"{named}; on a {device['type']}" if device and made.lines else named


def _facts(value: Any, name: str = "") -> Iterator[Fact]:
    """Yield what is inside a value, under the way to it in words; what is in a list goes by its own name where it has one."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _facts(inner, f"{name} {key}".strip())
    elif isinstance(value, list | tuple) and value and all(isinstance(one, Mapping) for one in value):
        for number, one in enumerate(value, start=1):
            inner = dict(one)
            yield from _facts(inner, f"{name} {inner.pop('name', number)}".strip())
    elif value is not None and value != [] and value != "":
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else _text(value)
        yield Fact(name, text, bool(_HASH.fullmatch(text)))


def _text(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
