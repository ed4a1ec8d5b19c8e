"""One atlas ► one site."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import polars as pl

from atlas.bake.about import about_html
from atlas.bake.amounts import amounts
from atlas.bake.clouds import Cloud, cloud_payload, cloud_task
from atlas.bake.colours import data_colours
from atlas.bake.data import write_data
from atlas.bake.definitions import definitions, measures_path
from atlas.bake.evidence import Evidence
from atlas.bake.experts import ExpertPages
from atlas.bake.fidelity import fidelity_payload, is_evaluated
from atlas.bake.figures import skeletons
from atlas.bake.folder import GENERATOR, PAGE, replacing, require_usable
from atlas.bake.front import first_experts, front_page
from atlas.bake.importance import importance_payload
from atlas.bake.labels import labels_payload
from atlas.bake.licences import licences
from atlas.bake.map import map_payload, map_words, shape_words, shapes_payload, shown_shapes
from atlas.bake.orders import orders
from atlas.bake.overview import Counts, amount_values, columns, table
from atlas.bake.payloads import Payloads
from atlas.bake.points import points_of
from atlas.bake.prompts import prompt_payloads, prompt_titles
from atlas.bake.provenance import Bake
from atlas.bake.scores import best_scores, comparable, scores_payload, supported_orders
from atlas.bake.search import context_index, title_index, token_index
from atlas.bake.sentences import sentences_payload
from atlas.bake.tasks import task_payload
from atlas.bake.templates import Templates
from atlas.errors import ConfigError
from atlas.store import Store, Task

Array = npt.NDArray[Any]

CLOUD_SHARD = 64
"""Experts to a file of clouds: what the list shows in a screen or two."""
EXPERT_SHARD = 8
"""Experts to a file of expert pages or windows, in the list's first order; a file of clouds has a whole number of these."""


@dataclass(frozen=True)
class BakeReport:
    """What a bake wrote."""

    folder: Path
    experts: int
    payloads: int
    payload_bytes: int
    data_bytes: int = 0
    """Of the database and its tables, if they were taken along."""


@dataclass(frozen=True)
class BakeConfig:
    """What an author may say about a site."""

    title: str | None = None
    """In place of "Atlas of <model> · <hook>"; text, never markup."""
    about: Path | None = None
    """A Markdown file with the author's own words for the first page."""
    templates: Path | None = None
    """A folder whose templates and static files take the place of ours of the same name."""
    overwrite: bool = False
    """Bake into a folder that holds other files; they stay as they are."""
    with_data: bool = False
    """Take the database and its tables as Parquet along, without the log of the run."""

    def __post_init__(self) -> None:
        if self.title is not None and not (self.title.strip() and _is_one_line(self.title)):
            raise ConfigError(f"--title is {self.title!r}; give one line of text.")


def _is_one_line(text: str) -> bool:
    """Return whether text holds no control character, line end, or byte that was no text."""
    return not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text)


def require_bakeable(out_folder: Path, config: BakeConfig) -> None:
    """Raise what `bake` would raise for this folder and configuration, as far as can be known without an atlas."""
    require_usable(out_folder, config.overwrite)
    Templates(config.templates).check()
    if config.about:
        about_html(config.about)


def bake(atlas_path: Path, out_folder: Path, config: BakeConfig | None = None) -> BakeReport:
    """Write the site of an atlas into a folder, in place of an earlier bake. The same atlas gives the same bytes.

    Raises:
        AtlasMissing: there is no file at `atlas_path`.
        SchemaMismatch: it was written under another schema version.
        AtlasDamaged: it lacks a part, a part of it cannot be read, or its rows are not those that were written.
        OutputOccupied: `out_folder` holds something that no earlier bake wrote, or cannot be written.
        TemplateError: a template cannot be used.
        AboutError: the words about the atlas cannot be used.
    """
    config = config or BakeConfig()
    templates = Templates(config.templates)
    about = about_html(config.about) if config.about else None
    with Store(atlas_path) as store, replacing(out_folder, config.overwrite) as site:
        store.require_as_written()
        experts, tasks, provenance = store.experts(), store.tasks(), store.provenance()
        every = store.table("scores")
        scores = comparable(every, tasks)
        best = best_scores(experts, scores)
        payloads = Payloads(site)
        _write_tasks(payloads, store, tasks)
        evidence = Evidence.of(store)
        _write_search(payloads, evidence, experts)
        _write_filters(payloads, store, tasks, experts, every)
        pages = ExpertPages(store, {task.task: task for task in tasks}, experts)
        payloads.write("texts", pages.texts)
        cloud_tasks = _write_experts(payloads, store, pages, experts, best, evidence)
        fidelity = fidelity_payload(store.table("evaluation"), store.table("training_log"), tasks)
        payloads.write("fidelity", fidelity)
        payloads.write("definitions", definitions(measures_path().read_text(encoding="utf-8")))
        overview, shapes, shape_classes = store.table("overview"), store.table("shapes"), store.table("shape_classes")
        found = table(experts, best, shapes, store.norms())
        values = amount_values(found, tasks)
        _write_orders(payloads, found, values, overview, shown_shapes(shapes, experts, cloud_tasks))
        prompts = _write_prompts(payloads, store, experts)
        contents = store.contents()
        origin = Bake.of(provenance, contents, templates, config)
        payloads.write("provenance", origin.payload(provenance))
        manifest = payloads.write_manifest(
            {
                "id": dictionary_id(provenance),
                "tasks": [task_payload(task, store.table("absences")) for task in tasks],
                "experts": columns(found, cloud_tasks, supported_orders(experts, scores)),
                "amounts": [amount.payload() for amount in amounts(values, provenance["dictionary"]["d_code"])],
                "map": map_payload(overview, store.table("overview_clusters"), experts),
                "colours": data_colours(),
                "shapes": shapes_payload(shapes, shape_classes, experts),
                "shards": {"clouds": CLOUD_SHARD, "experts": EXPERT_SHARD},
                "prompts": prompts,
            }
        )
        data = write_data(atlas_path, site, store.row_counts()) if config.with_data else None
        page = templates.render(
            f"{PAGE}.jinja",
            {
                "front": front_page(
                    provenance,
                    tasks,
                    Counts.of(experts, scores, tasks),
                    store.table("absences"),
                    jointly=pages.read_jointly,
                    evaluated=is_evaluated(fidelity),
                    overview=map_words(provenance.get("geometry", {}).get("overview"), experts, overview["expert"].to_list()),
                    shapes=shape_words(shape_classes),
                    first=first_experts(found, tasks),
                    title=config.title,
                    about=about,
                    prompts=prompts,
                    licences=licences(provenance),
                    data=data,
                ),
                "origin": origin.page(provenance, contents),
                "generator": GENERATOR,
                "manifest": manifest,
                "assets": templates.write_static(site),
            },
        )
        (site / PAGE).write_text(page, encoding="utf-8")
        return BakeReport(out_folder, len(experts), len(payloads), payloads.written_bytes, data.written_bytes if data else 0)


def dictionary_id(provenance: Mapping[str, Any]) -> str:
    """Return what bookmarks belong to: 12 digits that any atlas of one dictionary on one hook has, however it was made."""
    return hashlib.sha256(f"{provenance['dictionary']['sha256']} {provenance['model']['hook']}".encode()).hexdigest()[:12]


def _write_tasks(payloads: Payloads, store: Store, tasks: Sequence[Task]) -> None:
    windows, vocabulary = store.table("windows"), store.table("vocabulary")
    for task in tasks:
        if task.labels:
            payloads.write(f"tasks/{task.task}", sentences_payload(windows, vocabulary, task))
    payloads.write("figure", skeletons())


def _write_prompts(payloads: Payloads, store: Store, experts: pl.DataFrame) -> list[dict[str, Any]]:
    """Write the payload of each prompt, and return what the manifest says of them."""
    written = list(prompt_payloads(store, experts["expert"].to_list()))
    for prompt, payload in enumerate(written):
        payloads.write(f"prompts/{prompt}", payload)
    return prompt_titles(written)


def _write_search(payloads: Payloads, evidence: Evidence, experts: pl.DataFrame) -> None:
    """Write what the search box looks up, and beside each shard of tokens the figures of their pages."""
    numbers = experts["expert"].to_list()
    contexts, common = context_index(*evidence.words(numbers), len(numbers))
    indices = {
        "tokens": token_index(evidence.tokens, evidence.vocabulary, numbers),
        "titles": title_index(experts["title"].to_list()),
        "contexts": contexts,
    }
    directory: dict[str, list[str]] = {}
    for kind, index in indices.items():
        parts = list(index.shards())
        directory[kind] = [part.texts[0] for part in parts]
        for shard, part in enumerate(parts):
            payloads.write(f"search/{kind}/{shard}", part.payload())
            if kind == "tokens":
                payloads.write(f"tokens/{shard}", part.figures())
    payloads.write("search/index", {**directory, "common": common})


def _write_filters(payloads: Payloads, store: Store, tasks: Sequence[Task], experts: pl.DataFrame, scores: pl.DataFrame) -> None:
    """Write what filters by labels and by claims look up, and with it a task's page."""
    numbers = experts["expert"].to_list()
    label_stats, importance = store.table("label_stats"), store.importance()
    for task in tasks:
        if task.labels:
            payloads.write(f"labels/{task.task}", labels_payload(label_stats, task.task, numbers, len(task.labels)))
            payloads.write(f"scores/{task.task}", scores_payload(experts, scores, task))
            payloads.write(f"importance/{task.task}", importance_payload(importance, task.task, numbers))


def _write_orders(
    payloads: Payloads, found: pl.DataFrame, values: Mapping[str, Array], overview: pl.DataFrame, shapes: Array
) -> None:
    """Write every sort of the list but its first; `shapes` are those that the list shows."""
    clusters = found.select("expert").join(overview.select("expert", "cluster"), on="expert", how="left", maintain_order="left")
    sorts = orders(
        values,
        numbers=found["expert"].to_numpy(),
        titles=found["title"].to_list(),
        clusters=clusters["cluster"].cast(pl.Int64).fill_null(-1).to_numpy(),
        shapes=shapes,
    )
    for name, order in sorts.items():
        payloads.write(f"orders/{name}", order.payload())


def _write_experts(
    payloads: Payloads, store: Store, pages: ExpertPages, experts: pl.DataFrame, best_of: pl.DataFrame, evidence: Evidence
) -> list[int | None]:
    """Write the payloads of all experts; return the task that each one's small cloud shows."""
    rows = list(experts.iter_rows(named=True))
    best = {row["expert"]: row for row in best_of.iter_rows(named=True)}
    contexts = evidence.strongest(experts["expert"].to_list())
    shown: list[int | None] = []
    # As many at a time as a file of clouds takes: each look into the atlas costs milliseconds.
    for shard, some in enumerate(_shards(rows, CLOUD_SHARD)):
        numbers = [row["expert"] for row in some]
        points = points_of(store.points(numbers), numbers)
        tasks = [cloud_task(row, best.get(row["expert"]), points[row["expert"]]) for row in some]
        clouds = [Cloud.of(None if task is None else points[number][task]) for number, task in zip(numbers, tasks, strict=True)]
        payloads.write(f"clouds/{shard}", cloud_payload(clouds, contexts.part(shard * CLOUD_SHARD, CLOUD_SHARD)))
        for part, few in enumerate(_shards(numbers, EXPERT_SHARD), start=shard * CLOUD_SHARD // EXPERT_SHARD):
            payloads.write(f"experts/{part}", pages.payload({number: points[number] for number in few}))
            payloads.write(f"windows/{part}", pages.windows(few))
        shown += tasks
    return shown


def _shards(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (rows[first : first + size] for first in range(0, len(rows), size))
