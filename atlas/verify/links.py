"""Whether what a site points to is there: the page's links and routes, and every number in a payload that names something."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import numpy as np
import numpy.typing as npt

from atlas.publish.manifest import array, column
from atlas.site_files import inside
from atlas.verify.known import Known, number
from atlas.verify.pages import experts_faults, windows_faults
from atlas.verify.report import Check, Fault, Progress
from atlas.verify.site import Baked

Array = npt.NDArray[Any]
Wrong = Iterator[str]
"""What is wrong with one payload, in words."""

_HREF = re.compile(r"""href=\\?["']([^"'\\]*)""")
UNDAMAGED = (KeyError, TypeError, ValueError, IndexError, AttributeError, OSError, ArithmeticError)
"""What is raised by a payload that has not the form that its name asks for."""
COLUMNS = frozenset(
    "expert title basis title_task measure value firings rate importance mean_norm silent dense best_task "
    "best_hypothesis best_all_rows best_all_rows_low best_all_rows_high best_covered effective_dimension "
    "dimensions_needed cloud_task orders".split()
)
"""What the manifest says of every expert."""
NONE = 255
"""Stands for no bin."""


def verify_links(site: Baked, progress: Progress) -> Iterator[Check]:
    """Give what a site's page and payloads point to that is not there; a site without a manifest has been told of."""
    if not site.manifest:
        return
    progress("links")
    try:
        known = Known.of(site.manifest)
    except UNDAMAGED as error:
        yield Check("links", 0, (Fault("manifest", site.page.manifest, f"lacks what a page needs: {_said(error)}"),))
        return
    addresses = [*site.page.links, *(f"#{anchor}" for anchor in site.page.anchors)]
    found = chain(_page_links(site, known), _of("atlas", lambda: _manifest(site, known)), _payloads(site, known))
    yield Check("links", len(addresses) + len(site.named), tuple(found))


def _said(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()


def _of(name: str, look: Callable[[], Wrong]) -> Iterator[Fault]:
    """Give what is wrong with a payload; of one that has another form than its name asks for, that."""
    try:
        for wrong in look():
            yield Fault("link", name, wrong)
    except UNDAMAGED as error:
        yield Fault("payload", name, f"has not the form of its kind: {_said(error)}")


def _page_links(site: Baked, known: Known) -> Iterator[Fault]:
    for link in site.page.links:
        if inside(site.folder, unquote(urlsplit(link).path)) is None:
            yield Fault("link", "index.html", f"leads to {link!r}, which is not there")
    for anchor in site.page.anchors:
        for wrong in route_faults(anchor, known, site.page.ids):
            yield Fault("link", "index.html", wrong)


def route_faults(anchor: str, known: Known, ids: set[str]) -> Wrong:
    """Give what an address within the page names that the site has not; `anchor` is what stands behind the #."""
    if not anchor.startswith("/"):
        if anchor not in ids:
            yield f"leads to {'#' + anchor!r}, which is no part of the page"
        return
    path, _, query = anchor[1:].partition("?")
    kind, _, rest = path.partition("/")
    of_number = {"expert": known.experts, "beside": known.experts, "cluster": range(known.n_clusters), "prompt": known.prompts}
    if kind in of_number:
        numbers = rest.split("/")
        all_there = all(number(one) in of_number[kind] for one in numbers)
        if len(numbers) != (2 if kind == "beside" else 1) or not all_there:
            yield f"leads to {'#' + anchor!r}, and there is no such {'expert' if kind == 'beside' else kind}"
    elif kind == "task":
        if unquote(rest) not in known.labelled_names:
            yield f"leads to {'#' + anchor!r}, and there is no such task"
    elif path not in ("", "about", "fidelity", "provenance") and kind != "token":
        yield f"leads to {'#' + anchor!r}, which is no page"
    for key, value in parse_qsl(query):
        if key in ("at", "task", "cluster") and not known.has(key, value):
            yield f"leads to {'#' + anchor!r}, and there is no {key} {value!r}"


def _manifest(site: Baked, known: Known) -> Wrong:
    manifest, n = site.manifest, known.n
    for name in sorted(COLUMNS - manifest["experts"].keys()):
        yield f"has no column experts.{name}"
    columns = {name: column(stored) for name, stored in manifest["experts"].items()}
    for name, values in columns.items():
        if len(values) != n:
            yield f"experts.{name} has {len(values):,} rows of {n:,}"
    if len(known.experts) != n:
        yield "names an expert twice"
    for name in ("title_task", "best_task", "cloud_task"):
        yield from _outside(f"experts.{name}", [one for one in columns[name] if one is not None], known.tasks)
    yield from _outside("experts.orders", [one for row in columns["orders"] for one in row], known.tasks)
    for place, task in enumerate(manifest["tasks"]):
        if task["task"] != place:
            yield f"task {task['task']} stands in place {place}"
        labels = task["labels"]
        if len({len(labels["name"]), len(labels["rows"]), *map(len, labels["colours"].values())}) != 1:
            yield f"the columns of task {place}'s labels differ in length"
        for hypothesis in task["hypotheses"]:
            for targets in hypothesis["targets"]:
                if len(targets) != len(labels["name"]):
                    yield f"hypothesis {hypothesis['name']} of task {place} has targets of {len(targets)} labels"
    for amount in manifest["amounts"]:
        if "bin" in amount:
            bins = array(amount["bin"])
            yield from _length(f"amount {amount['key']}", bins, n)
            yield from _below(f"amount {amount['key']}", bins[bins != NONE], len(amount["edges"]) - 1)
    if manifest["map"]:
        for name in ("x", "y", "cluster"):
            yield from _length(f"map.{name}", array(manifest["map"][name]), n)
        yield from _below("map.cluster", array(manifest["map"]["cluster"]), known.n_clusters + 1)
    for source in (manifest["shapes"] or {"sources": []})["sources"]:
        rows, classes = array(source["rows"]), array(source["classes"])
        yield from _outside("shapes", [source["task"]], known.tasks)
        yield from _below("shapes", rows, n)
        yield from _length("shapes", classes, len(rows))
        yield from _below("shapes, class", classes, len(manifest["shapes"]["classes"]))
    yield from _files(site, known)


def _files(site: Baked, known: Known) -> Wrong:
    """Give the payloads that a site with these experts, tasks and prompts has and this one does not."""
    shards = {kind: -(-known.n // size) for kind, size in known.shards.items()}
    wanted = [f"{kind}/{shard}" for kind, many in shards.items() for shard in range(many)]
    wanted += [f"{kind}/{task}" for task in known.labels for kind in ("tasks", "labels", "scores", "importance")]
    wanted += [f"prompts/{prompt}" for prompt in known.prompts]
    wanted += ["figure", "texts", "fidelity", "definitions", "search/index"]
    for name in wanted:
        if name not in site.named:
            yield f"has no payload {name!r}"


def _payloads(site: Baked, known: Known) -> Iterator[Fault]:
    texts = len(site.read("texts") or [])
    sentences = {task: site.read(f"tasks/{task}") for task in known.labels}
    looks: dict[str, Callable[[Any, str], Wrong]] = {
        "orders": lambda value, _: _order(value, known),
        "labels": lambda value, of: _labels(value, int(of), known),
        "scores": lambda value, of: _scores(value, int(of), known),
        "importance": lambda value, _: chain(
            _below("rows", array(value["rows"]), known.n),
            _length("importance", array(value["importance"]), len(array(value["rows"]))),
        ),
        "clouds": lambda value, of: _clouds(value, int(of), known),
        "tasks": lambda value, of: _sentences(value, int(of), known),
        "experts": lambda value, of: experts_faults(value, int(of), known, texts, sentences),
        "windows": lambda value, of: windows_faults(value, int(of), known, texts),
        "prompts": lambda value, _: _prompt(value, known),
        "fidelity": lambda value, _: _outside("tasks", [row["task"] for row in value["tasks"]["rows"]], known.tasks),
        "definitions": lambda value, _: _defined(value, known, site.page.ids),
    }
    for name in site.named:
        kind, _, of = name.partition("/")
        value = site.read(name)
        if value is not None and kind in looks:
            yield from _of(name, lambda look=looks[kind], value=value, of=of: look(value, of))  # type: ignore[misc]
    yield from _of("search/index", lambda: _search(site, known))


def _order(value: Mapping[str, Any], known: Known) -> Wrong:
    rows = array(value["rows"])
    if sorted(rows.tolist()) != list(range(known.n)):
        yield "does not hold every expert once"
    if not 0 <= value["known"] <= known.n:
        yield f"knows {value['known']:,} of {known.n:,}"


def _labels(value: Mapping[str, Any], task: int, known: Known) -> Wrong:
    rows, fired, starts = (array(value[name]) for name in ("rows", "fired", "starts"))
    astray = list(_starts("labels", starts, len(known.labels[task]), len(rows)))
    yield from astray
    yield from _below("rows", rows, known.n)
    yield from _length("fired", fired, len(rows))
    yield from _length("lift", array(value["lift"]), len(rows))
    if astray:
        return
    most = np.repeat(known.labels[task], starts[1:] - starts[:-1].astype(np.int64))
    if len(most) == len(fired) and (fired > most).any():
        yield "fires on more rows of a label than it has"


def _scores(value: Mapping[str, Any], task: int, known: Known) -> Wrong:
    n_hypotheses = known.hypotheses[task]
    if len(value["of"]) != n_hypotheses:
        yield f"is of {len(value['of'])} hypotheses, the task has {n_hypotheses}"
    for columns in (value["best"], *(one for one in value["of"] if one is not None)):
        rows = array(columns["rows"])
        yield from _below("rows", rows, known.n)
        for name, stored in columns.items():
            yield from _length(name, array(stored), len(rows))
    yield from _below("hypothesis", array(value["best"]["hypothesis"]), n_hypotheses)


def _clouds(value: Mapping[str, Any], shard: int, known: Known) -> Wrong:
    experts = known.of_shard("clouds", shard)
    points = value["points"]
    yield from _length("points", points, len(experts))
    yield from _length("xyz", array(value["xyz"]), 3 * sum(points))
    label = array(value["label"])
    yield from _length("label", label, sum(points))
    for name in ("before", "token", "after"):
        yield from _length(f"context.{name}", value["context"][name], len(experts))
    most = [0 if task is None else len(known.labels.get(task, ())) for task in known.cloud_tasks(shard)]
    if len(most) == len(points) and sum(points) == len(label) and (label > np.repeat(most, points)).any():
        yield "a point has a label that its task has not"


def _sentences(value: Mapping[str, Any], task: int, known: Known) -> Wrong:
    n = len(array(value["window"]))
    length, tokens, position, label = (array(value[name]) for name in ("length", "tokens", "position", "label"))
    for name, values in (("length", length), ("position", position), ("label", label), ("template", array(value["template"]))):
        yield from _length(name, values, n)
    yield from _length("tokens", tokens, int(length.sum()))
    yield from _below("tokens", tokens, len(value["texts"]))
    yield from _below("label", label, len(known.labels[task]))
    if len(position) == len(length) and ((position >= length) & (length > 0)).any():
        yield "probes a token outside of its sentence"


def _prompt(value: Mapping[str, Any], known: Known) -> Wrong:
    rows, n = array(value["rows"]), len(value["tokens"])
    yield from _below("rows", rows, known.n)
    yield from _length("norms", array(value["norms"]), len(rows) * n)
    for name in ("special", "windows"):
        yield from _below(name, np.array(value[name], np.int64), n)


def _search(site: Baked, known: Known) -> Wrong:
    directory = site.read("search/index")
    if directory is None:
        return
    for kind in ("tokens", "titles", "contexts"):
        shards = sum(1 for name in site.named if re.fullmatch(rf"search/{kind}/\d+", name))
        if len(directory[kind]) != shards:
            yield f"has {len(directory[kind])} shards of {kind}, and there are {shards}"
        for shard, first in enumerate(directory[kind]):
            part = site.read(f"search/{kind}/{shard}")
            if part is None:
                continue
            where, rows = f"search/{kind}/{shard}:", array(part["rows"])
            if part["texts"][:1] != [first]:
                yield f"{where} begins with another text than the directory says"
            yield from _starts(where, array(part["starts"]), len(part["texts"]), len(rows))
            yield from _below(where, rows, known.n)
            figures = site.read(f"tokens/{shard}") if kind == "tokens" else None
            for name, stored in {**(figures or {}), **({"weight": part["weight"]} if "weight" in part else {})}.items():
                yield from _length(f"{where} {name}", array(stored), len(rows))


def _defined(value: Mapping[str, Any], known: Known, ids: set[str]) -> Wrong:
    for term, said in value.items():
        for address in _HREF.findall(said["html"]):
            if address.startswith("#"):
                yield from (f"{term}: {wrong}" for wrong in route_faults(address[1:], known, ids))


def _outside(what: str, values: Sequence[int], among: Sequence[int] | range | frozenset[int]) -> Wrong:
    for one in sorted({value for value in values if value not in among}):
        yield f"{what} names {one}, which is not there"


def _below(what: str, values: Array, n: int) -> Wrong:
    outside = values[(values < 0) | (values >= n)]
    if len(outside):
        yield f"{what} names {int(outside[0]):,}, and there are {n:,}"


def _length(what: str, values: Sequence[Any] | Array, n: int) -> Wrong:
    if len(values) != n:
        yield f"{what} has {len(values):,} entries in place of {n:,}"


def _starts(what: str, starts: Array, n: int, rows: int) -> Wrong:
    if len(starts) != n + 1 or starts[0] != 0 or starts[-1] != rows or (np.diff(starts.astype(np.int64)) < 0).any():
        yield f"{what} does not part its {rows:,} rows among {n:,}"
