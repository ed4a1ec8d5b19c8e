"""One expert's cloud ► one HTML file that opens alone."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import polars as pl
from markupsafe import Markup

from atlas.bake.arrays import unpacked
from atlas.bake.baking import dictionary_id
from atlas.bake.clouds import cloud_task
from atlas.bake.colours import data_colours
from atlas.bake.experts import ExpertPages
from atlas.bake.figures import skeletons
from atlas.bake.folder import GENERATOR
from atlas.bake.link import Link
from atlas.bake.overview import columns, table
from atlas.bake.payloads import MANIFEST
from atlas.bake.points import Points, points_of
from atlas.bake.scores import best_scores, comparable, supported_orders
from atlas.bake.sentences import sentences_payload
from atlas.bake.tasks import task_payload
from atlas.bake.templates import Templates, templates_root
from atlas.errors import ConfigError, NotInAtlas
from atlas.files import replacing, sweep_beside
from atlas.store import Store, Task

STYLES = ("theme", "layout", "content", "map", "scene", "stage", "expert")
"""Of the site, in its order."""
LIBRARY = "static/vendor/plotly.js-gl3d-dist-min/plotly-gl3d.min.js"
SCRIPTS = (
    *("base/scheme", "base/payloads", "base/columns", "base/route", "base/words", "base/definitions", "base/tables"),
    *("base/cloud", "base/strip", "base/chart", "map/gestures", "list/facts", "list/export"),
    *("expert/contexts", "expert/points", "expert/record", "expert/colouring", "expert/key", "expert/views", "expert/captions"),
    *(
        "expert/chosen",
        "expert/camera",
        "expert/names",
        "expert/glass",
        "expert/hand",
        "expert/scene",
        "expert/projections",
        "expert/passing",
        "expert/stage",
    ),
)
"""Of the site, in its order: what a stage and its record need."""


@dataclass(frozen=True)
class EmbedConfig:
    """How a page of one expert begins."""

    link: Link | None = None
    """What it first shows. [default: what the expert's page first shows]"""
    site: str | None = None
    """Address of the baked site, which the page leads back to. [default: it leads nowhere]"""

    def __post_init__(self) -> None:
        if self.site is not None and not _is_site(self.site):
            raise ConfigError(f"--site is {self.site!r}; give the address of the published site, as https://example.org/atlas/.")


def _is_site(text: str) -> bool:
    """Return whether a text is the address of a page on the web: with a host, and nothing that an address' end adds to."""
    try:
        parts = urlsplit(text)
        named = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    return named and "#" not in text and not re.search(r"\s|[\x00-\x1f\x7f]", text)


class Script(NamedTuple):
    """A script as it stands in the page."""

    text: Markup
    digest: str
    """What the page's policy knows it by."""


def embed(atlas_path: Path, expert: int, out: Path, config: EmbedConfig) -> int:
    """Write a page of one expert's cloud that needs no other file and asks for none; return its size in bytes.

    The same atlas gives the same bytes.

    Raises:
        NotInAtlas: there is no such expert, or it has no points to draw.
        ConfigError: the page would not be HTML.
        StorageError: the file cannot be written.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--out is '{out}'; an embedded page is a file with the suffix .html.")
    with Store(atlas_path) as store:
        payloads, words = _payloads(store, expert, config)
    root = templates_root()
    scripts = [
        *(_script((root / f"static/js/{name}.js").read_text(encoding="utf-8")) for name in SCRIPTS[:2]),
        _script((root / LIBRARY).read_text(encoding="utf-8")),
        *(_script((root / f"static/js/{name}.js").read_text(encoding="utf-8")) for name in SCRIPTS[2:]),
        *(_script(f"atlas.receive({json.dumps(name)},{_json(payload)});\n") for name, payload in payloads.items()),
        _script((root / "embed.js").read_text(encoding="utf-8")),
    ]
    files = [*(f"static/css/{name}.css" for name in STYLES), "embed.css"]
    styles = "".join((root / name).read_text(encoding="utf-8") for name in files)
    page = Templates(None).render(
        "embed.html.jinja",
        {
            **words,
            "styles": Markup(styles),
            "style_digest": Markup(_digest(styles)),
            "scripts": scripts,
            "script_digests": Markup(" ".join(script.digest for script in scripts)),
            "generator": GENERATOR,
            "has_site": config.site is not None,
        },
    )
    return _written(out, page.encode("utf-8"))


def _payloads(store: Store, expert: int, config: EmbedConfig) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what the page's scripts load, by name, and the words that stand in the page itself."""
    experts, tasks, provenance = store.experts(), {task.task: task for task in store.tasks()}, store.provenance()
    numbers = experts["expert"].to_list()
    if expert not in numbers:
        raise NotInAtlas(f"There is no expert {expert}. This atlas has experts {min(numbers)} to {max(numbers)}.")
    points = points_of(store.points([expert]), [expert])[expert]
    if not points:
        raise NotInAtlas(f"Expert {expert} has no points: it fires on nothing that this atlas keeps. Take another one.")
    if config.link and config.link.colour:
        _require_points(expert, config.link.colour, [tasks[number].name for number in points])
    pages = ExpertPages(store, tasks, experts)
    (told,) = pages.payload({expert: points}).values()
    payloads = {
        MANIFEST: _manifest(store, experts.filter(pl.col("expert") == expert), tasks, provenance, points),
        "figure": skeletons(),
        "texts": needed_texts(pages.texts, told),
        **dict(_sentences(store, tasks, points)),
        # The experts that it is near to are not here.
        "experts/0": {str(expert): told | {"neighbours": {}}},
        "embed": {"looks": _looks(config.link), "site": config.site},
    }
    title = experts.filter(pl.col("expert") == expert)["title"][0]
    model = provenance["model"]
    return payloads, {"title": f"Expert {expert} · {title}", "source": f"{model['id']} · {model['hook']}"}


def _require_points(expert: int, colour: str, names: Sequence[str]) -> None:
    """Raise unless a colouring as an address has it, a task or a task and a way, is of one of the named tasks."""
    if colour not in names and colour.rpartition(":")[0] not in names:
        raise NotInAtlas(f"Expert {expert} has no points on {colour!r}. It has some on {', '.join(names)}.")


def _manifest(
    store: Store, row: pl.DataFrame, tasks: dict[int, Task], provenance: dict[str, Any], points: dict[int, Points]
) -> dict[str, Any]:
    """Return the manifest of a site with one expert."""
    expert = row["expert"][0]
    scores = comparable(store.sql("SELECT * FROM scores WHERE expert = $expert", expert=expert), list(tasks.values()))
    best = best_scores(row, scores)
    first = best.rows(named=True)
    shown = cloud_task(row.row(0, named=True), first[0] if first else None, points)
    found = table(row, best, store.table("shapes"), store.norms())
    absences = store.table("absences")
    return {
        "id": dictionary_id(provenance),
        "tasks": [task_payload(task, absences) for task in tasks.values()],
        "experts": columns(found, [shown], supported_orders(row, scores)),
        "colours": data_colours(),
        "amounts": [],
        "shards": {"experts": 1},
        "files": {},
    }


def _sentences(store: Store, tasks: dict[int, Task], points: dict[int, Points]) -> Iterator[tuple[str, Any]]:
    """Return the payloads of the sentences that the expert's points stand in."""
    windows, vocabulary = store.table("windows"), store.table("vocabulary")
    for number, few in points.items():
        if tasks[number].labels:
            shown = windows.filter((pl.col("task") == number) & pl.col("window").is_in(few.drawn().window))
            yield f"tasks/{number}", sentences_payload(shown, vocabulary, tasks[number])


def needed_texts(texts: Sequence[str], told: dict[str, Any]) -> list[str]:
    """Return the texts of the tokens around an expert's points and in its contexts, each at its place; others are empty."""
    around = [task["hover"] for task in told["tasks"] if "hover" in task]
    contexts = [context["tokens"] for corpus in told["corpora"] for context in corpus["contexts"]]
    used = {int(place) for stored in [*around, *contexts] for place in np.unique(unpacked(stored))}
    return [text if place in used else "" for place, text in enumerate(texts[: max(used, default=0) + 1])]


def _looks(link: Link | None) -> dict[str, Any]:
    """Return what the address of an expert's page would say."""
    if link is None:
        return {}
    looks = {"seen" if name == "view" else name: value for name, value in asdict(link).items() if value and name != "task"}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in looks.items()}


def _json(payload: Any) -> str:
    """Return JSON in which no text can end the script that it stands in."""
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _script(source: str) -> Script:
    """Return a script as it stands in a page, where "</script" and "<!--" would end or hide it: in ours both are texts."""
    text = re.sub(r"<(/script|!--|script)", r"\\x3c\1", source, flags=re.IGNORECASE)
    return Script(Markup(text), _digest(text))


def _digest(text: str) -> str:
    """Return what a policy knows the text of a script or style by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"


def _written(out: Path, page: bytes) -> int:
    """Write the page whole, or not at all; return its size."""
    sweep_beside(out)
    with replacing(out) as part:
        part.write_bytes(page)
    return len(page)
