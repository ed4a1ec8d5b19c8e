"""One atlas ► one site."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import atlas
from atlas.bake.colours import SCHEMES, label_colours
from atlas.bake.experts import ExpertPages, by_expert_and_task, sentences_payload
from atlas.bake.figures import label_places, labels_per_mean, skeletons
from atlas.bake.folder import GENERATOR, replacing
from atlas.bake.front import FrontPage, front_page
from atlas.bake.overview import (
    Cloud,
    Counts,
    best_scores,
    cloud_payload,
    cloud_task,
    columns,
    task_payload,
)
from atlas.bake.payloads import Payloads
from atlas.store import Store, Task

CLOUD_SHARD = 64
"""Experts to a file of clouds: what the list shows in a screen or two."""
EXPERT_SHARD = 8
"""Experts to a file of expert pages, neighbours in the list's first order."""


@dataclass(frozen=True)
class BakeReport:
    """What a bake wrote."""

    folder: Path
    experts: int
    payloads: int
    payload_bytes: int


def bake(atlas_path: Path, out_folder: Path) -> BakeReport:
    """Write the site of an atlas into a folder, in place of an earlier bake. The same atlas gives the same bytes.

    Raises:
        AtlasMissing: there is no file at `atlas_path`.
        SchemaMismatch: it was written under another schema version.
        OutputOccupied: `out_folder` holds something that no earlier bake wrote.
    """
    with Store(atlas_path) as store, replacing(out_folder) as site:
        experts, scores, tasks = store.experts(), store.table("scores"), store.tasks()
        payloads = Payloads(site)
        _write_tasks(payloads, store, tasks)
        shown = _write_experts(payloads, store, tasks, experts, scores)
        payloads.write_manifest(
            {
                "tasks": [_task_with_labels(task) for task in tasks],
                "experts": columns(experts, best_scores(experts, scores)) | {"cloud_task": shown},
                "shards": {"clouds": CLOUD_SHARD, "experts": EXPERT_SHARD},
            }
        )
        _write_page(site, front_page(store.provenance(), tasks, Counts.of(experts, scores)))
        return BakeReport(out_folder, len(experts), len(payloads), payloads.written_bytes)


def templates_root() -> Path:
    """Return the folder of templates: the one inside the installed package, else the checkout's."""
    package = Path(atlas.__file__).parent
    installed = package / "templates"
    return installed if installed.is_dir() else package.parent / "templates"


def _write_tasks(payloads: Payloads, store: Store, tasks: Sequence[Task]) -> None:
    windows, vocabulary = store.table("windows"), store.table("vocabulary")
    for task in tasks:
        sentences = sentences_payload(windows, vocabulary, task) if task.labels else {}
        payloads.write(f"tasks/{task.task}", {"figure": skeletons(task), **sentences})


def _write_experts(
    payloads: Payloads, store: Store, tasks: Sequence[Task], experts: pl.DataFrame, scores: pl.DataFrame
) -> list[int | None]:
    """Write the payloads of all experts; return the task that each one's small cloud shows."""
    pages = ExpertPages(store, {task.task: task for task in tasks}, experts, scores)
    rows = list(experts.iter_rows(named=True))
    best = {row["expert"]: row for row in best_scores(experts, scores).iter_rows(named=True)}
    clouds: list[Cloud] = []
    for shard, few in enumerate(_shards(rows, EXPERT_SHARD)):
        numbers = [row["expert"] for row in few]
        points = by_expert_and_task(store.points(numbers), numbers)
        payloads.write(f"experts/{shard}", pages.payload(points))
        for row in few:
            task = cloud_task(row, best.get(row["expert"]), points[row["expert"]])
            clouds.append(Cloud.of(task, None if task is None else points[row["expert"]][task]))
    for shard, some in enumerate(_shards(clouds, CLOUD_SHARD)):
        payloads.write(f"clouds/{shard}", cloud_payload(some))
    return [cloud.task for cloud in clouds]


def _shards(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (rows[first : first + size] for first in range(0, len(rows), size))


def _task_with_labels(task: Task) -> dict[str, Any]:
    return task_payload(task) | {
        "labels": {
            "name": [label.name for label in task.labels],
            "rows": [label.rows for label in task.labels],
            "place": label_places(task),
            "colours": {scheme: label_colours(task, scheme) for scheme in SCHEMES},
        },
        "labels_per_mean": labels_per_mean(task),
    }


def _write_page(site: Path, front: FrontPage) -> None:
    root = templates_root()
    environment = Environment(
        loader=FileSystemLoader(root),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page = environment.get_template("index.html.jinja").render(front=front, generator=GENERATOR)
    (site / "index.html").write_text(page, encoding="utf-8")
    shutil.copytree(root / "static", site / "assets", copy_function=shutil.copyfile)
