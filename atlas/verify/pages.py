"""Whether the payloads of experts' pages hold together, and point to what is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from atlas.bake.corpora import CONTEXT_TOKENS, HOVER_TOKENS
from atlas.bake.points import DRAWN
from atlas.publish.manifest import array
from atlas.verify.known import Known

Array = npt.NDArray[Any]
Wrong = Iterator[str]


def experts_faults(
    value: Mapping[str, Any], shard: int, known: Known, texts: int, sentences: Mapping[int, Mapping[str, Any] | None]
) -> Wrong:
    """Give what is wrong with a file of expert pages; `texts` are as many as the site has, `sentences` those of its tasks."""
    yield from _numbers(value, known.of_shard("experts", shard))
    for number, page in value.items():
        for cloud in page["tasks"]:
            yield from _told(f"expert {number}, task {cloud['task']}", _cloud(cloud, known, texts, sentences))
        for corpus in page["corpora"]:
            yield from _told(f"expert {number}, corpus {corpus['task']}", _corpus(corpus, known, texts))
        yield from _told(f"expert {number}", _findings(page, known))


def windows_faults(value: Mapping[str, Any], shard: int, known: Known, texts: int) -> Wrong:
    """Give what is wrong with a file of whole windows."""
    yield from _numbers(value, known.of_shard("windows", shard))
    for number, corpora in value.items():
        for corpus in corpora:
            for context in corpus["contexts"]:
                yield from _told(f"expert {number}, {context['stratum']}", _window(context, texts))


def _told(where: str, wrong: Wrong) -> Wrong:
    return (f"{where}: {one}" for one in wrong)


def _numbers(value: Mapping[str, Any], wanted: list[int]) -> Wrong:
    if sorted(value) != sorted(map(str, wanted)):
        yield f"is of the experts {', '.join(value)}, not of {', '.join(map(str, wanted))}"


def _window(context: Mapping[str, Any], texts: int) -> Wrong:
    tokens, length, at = array(context["tokens"]), np.array(context["length"]), np.array(context["at"])
    if int(length.sum()) != len(tokens) or len(length) != len(at):
        yield "its windows are not as long as they say"
    elif (at >= length).any() or (at < 0).any():
        yield "a firing lies outside of its window"
    yield from _tokens(tokens, texts)


def _tokens(tokens: Array, texts: int) -> Wrong:
    if (tokens >= texts).any():
        yield f"names the token {int(tokens.max()):,}, and there are {texts:,} texts"


def _cloud(cloud: Mapping[str, Any], known: Known, texts: int, sentences: Mapping[int, Mapping[str, Any] | None]) -> Wrong:
    if cloud["task"] not in known.tasks:
        yield "there is no such task"
        return
    n = len(array(cloud["x"]))
    lengths = {"y": array(cloud["y"]), "z": array(cloud["z"]), "norm": array(cloud["norm"]["steps"])}
    lengths |= {name: array(cloud[name]) for name in ("position", "document", "window") if name in cloud}
    if "importance" in cloud:
        lengths["importance"] = array(cloud["importance"]["steps"])
    for name, values in lengths.items():
        if len(values) != n:
            yield f"{name} has {len(values):,} entries, x {n:,}"
    if n != min(cloud["kept"], DRAWN):
        yield f"draws {n:,} of {cloud['kept']:,} points"
    if "hover" in cloud:
        hover = array(cloud["hover"])
        yield from _tokens(hover, texts)
        if len(hover) != n * (2 * HOVER_TOKENS + 1):
            yield f"has {len(hover):,} tokens around {n:,} points"
    told = sentences.get(cloud["task"])
    if told is not None:
        rows = np.cumsum(array(cloud["window"]).astype(np.int64))
        if not np.isin(rows, array(told["window"])).all():
            yield "a point is in a sentence that the task has not"
        marks = np.array(cloud["means"]["label"], np.int64)
        if ((marks < 0) | (marks >= len(known.labels[cloud["task"]]))).any():
            yield "the mean of a label is marked that the task has not"


def _corpus(corpus: Mapping[str, Any], known: Known, texts: int) -> Wrong:
    if corpus["task"] not in known.tasks or corpus["task"] in known.labels:
        yield "there is no such corpus"
    for context in corpus["contexts"]:
        n, tokens = len(context["norm"]), array(context["tokens"])
        if len(tokens) != n * (2 * CONTEXT_TOKENS + 1) or len(context["around"]) != n:
            yield f"{context['stratum']}: {len(tokens):,} tokens in {n:,} contexts"
        if any(len(digits) != 2 * CONTEXT_TOKENS or set(digits) - set("0123") for digits in context["around"]):
            yield f"{context['stratum']}: what is around a firing is not told in {2 * CONTEXT_TOKENS} digits"
        yield from _tokens(tokens, texts)
    yield from _tokens(np.array(corpus["tokens"]["text"], np.int64), texts)
    for name in ("norms", "positions"):
        if len(set(map(len, corpus[name].values()))) != 1:
            yield f"the columns of {name} differ in length"


def _findings(page: Mapping[str, Any], known: Known) -> Wrong:
    for name in ("importance_on", "labels", "task_stats", "scores", "newline"):
        columns = page[name]
        if len(set(map(len, columns.values()))) != 1:
            yield f"the columns of {name} differ in length"
        for task in sorted(set(columns["task"]) - set(known.tasks)):
            yield f"{name} names the task {task}, which is not there"
    for task, label in zip(page["labels"]["task"], page["labels"]["label"], strict=False):
        if not 0 <= label < len(known.labels.get(task, ())):
            yield f"labels names the label {label} of task {task}, which is not there"
    for task, hypothesis in zip(page["scores"]["task"], page["scores"]["hypothesis"], strict=False):
        if not 0 <= hypothesis < known.hypotheses.get(task, 0):
            yield f"scores names the hypothesis {hypothesis} of task {task}, which is not there"
    for group in page["groups"]:
        for expert in sorted(set(group["experts"]) - known.experts):
            yield f"a group names expert {expert}, which is not there"
    for shape in page["shapes"]:
        if shape["task"] not in known.tasks:
            yield f"shapes names the task {shape['task']}, which is not there"
    for kind, columns in page["neighbours"].items():
        rows = columns.get("row", [])
        for row in sorted({row for row in rows if not 0 <= row < known.n}):
            yield f"its {kind} neighbours name row {row:,}, and there are {known.n:,}"
        if "row" in columns and len(set(map(len, columns.values()))) != 1:
            yield f"the columns of its {kind} neighbours differ in length"
