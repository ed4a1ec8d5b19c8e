"""Whether experts fire where an atlas says that they do, and not where it says that they are silent: a sample is run again.

The model reads the same tokens in the same window, but beside other windows, in batches of other lengths: what a product of
matrices rounds differs in its last bits, and so does a norm. What is off by no more than TOLERANCE is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas.store import Store
from atlas.verify.report import Check, Fault, Progress, expected

if TYPE_CHECKING:
    from torch import Tensor

    from atlas.activations.model import LanguageModel
    from atlas.activations.stream import StreamConfig
    from atlas.dictionary import Checkpoint

Array = npt.NDArray[Any]

TOLERANCE = {"float32": 1e-4, "bfloat16": 0.1, "float16": 0.02}
"""Share of a code's norm that it, and its norm, may be off, by what the model computes in."""
N_AXES = 3

QUERIES = {
    "points": """
        SELECT task, expert, "window", position, norm, [x, y, z] AS xyz FROM points
        JOIN (SELECT task, "window", len(tokens) AS n FROM windows) AS w USING (task, "window")
        WHERE n > 0 AND (label IS NULL) = {corpus}""",
    "top_firings": 'SELECT task, expert, "window", position, norm FROM top_firings',
    "token_sample": 'SELECT task, token, "window", position FROM token_sample',
    "mentions": 'SELECT task, mention AS token, "window", position FROM mentions',
}
SHARES = {"points": 0.5, "top_firings": 0.25, "token_sample": 0.2, "mentions": 0.05}
"""Of a sample; of token_sample and mentions, of which a row is of every expert, firing or silent."""
CODES = {"token_sample": ("token_sample_firings", "token"), "mentions": ("mention_firings", "mention")}


class Place(NamedTuple):
    """A token of the atlas."""

    task: int
    window: int
    position: int


@dataclass
class Run:
    """What every expert does at some tokens, computed anew."""

    norms: Mapping[Place, Array]
    """Of every expert, before the gate."""
    codes: Mapping[Place, Mapping[int, Array]]
    """Of those that fire."""


def verify_firings(
    store: Store, checkpoint: Checkpoint, model: LanguageModel, sample: int, seed: int, progress: Progress
) -> Iterator[Check]:
    """Give what a sample of firings and of silent experts shows when the model reads their windows again."""
    yield _windows_check(store, model)
    drawn = {name: _drawn(store, name, max(1, round(sample * share)), seed) for name, share in SHARES.items()}
    places = {Place(*row) for rows in drawn.values() for row in rows.select("task", "window", "position").iter_rows()}
    progress(f"run the model on the windows of {len(places):,} tokens")
    run = _run(store, checkpoint, model, places)
    tolerance = TOLERANCE[model.dtype]
    axes = _axes(store)
    told = [*drawn["points"].iter_rows(named=True), *drawn["top_firings"].iter_rows(named=True)]
    faults = [fault for row in told for fault in _firing(row, run, axes, checkpoint.smixae.threshold, tolerance)]
    yield Check("firings", len(told), tuple(faults), _unchecked(store))
    faults, pairs = [], 0
    for name, (table, column) in CODES.items():
        wanted = _codes(store, table, column, drawn[name])
        for row in drawn[name].iter_rows(named=True):
            here = wanted.get((row["task"], row["token"]), {})
            pairs += checkpoint.smixae.n_experts
            where = f"{table}, task {row['task']}, {column} {row['token']}"
            faults += _token(where, here, _place(row), run, checkpoint.smixae.threshold, tolerance)
    yield Check("fires or not", pairs, tuple(faults), "every expert at each token of a sample")


def _place(row: Mapping[str, Any]) -> Place:
    return Place(row["task"], row["window"], row["position"])


def _drawn(store: Store, name: str, n: int, seed: int) -> pl.DataFrame:
    """Return rows of a table, chosen with a seed; of points half of corpora and half of labelled tasks."""
    if name != "points":
        return _some(store, QUERIES[name], n, seed)
    return pl.concat([_some(store, QUERIES[name].format(corpus=corpus), -(-n // 2), seed) for corpus in ("true", "false")])


def _some(store: Store, query: str, n: int, seed: int) -> pl.DataFrame:
    # A join gives its rows in any order; numbered by their values, the same seed draws the same rows.
    numbered = f"SELECT *, row_number() OVER (ORDER BY drawn) - 1 AS place FROM ({query}) AS drawn"
    (total,) = store.sql(f"SELECT count(*) FROM ({query})").row(0)
    chosen = np.random.default_rng(seed).choice(total, min(n, total), replace=False).tolist()
    wanted = store.sql(
        f"SELECT * EXCLUDE (place) FROM ({numbered}) WHERE place IN (SELECT unnest($chosen)) ORDER BY place", chosen=chosen
    )
    return wanted


def _run(store: Store, checkpoint: Checkpoint, model: LanguageModel, places: set[Place]) -> Run:
    """Run the windows of some tokens through model and dictionary as a stage does, and keep what happens at these tokens."""
    import torch

    from atlas.activations.stream import Window, blocks, row_blocks

    norms: dict[Place, Array] = {}
    codes: dict[Place, dict[int, Array]] = {}
    corpora = set(store.sql("SELECT task FROM tasks WHERE kind = 'corpus'")["task"])
    for of_corpus in (True, False):
        asked = [place for place in places if (place.task in corpora) == of_corpus]
        addresses = sorted({place[:2] for place in asked})
        tokens = _tokens(store, addresses)
        windows = [Window(number, 0, tokens[address], held_out=True) for number, address in enumerate(addresses)]
        wanted = {(addresses.index(place[:2]), place.position): place for place in asked}
        found: list[Place] = []
        rows: list[Tensor] = []
        for block in blocks(windows, model, _stream(store, "harvest" if of_corpus else "probe")):
            at = zip(block.tokens.document.tolist(), block.tokens.position.tolist(), strict=True)
            here = [(row, wanted[key]) for row, key in enumerate(at) if key in wanted]
            found += [place for _, place in here]
            rows += [block.x[row] for row, _ in here]
        for start, (x, n) in enumerate(row_blocks(torch.stack(rows)) if rows else ()):
            of_block = found[start * len(x) : start * len(x) + n]
            norms |= zip(of_block, checkpoint.smixae.norms(x)[:n].cpu().numpy(), strict=True)
            codes |= {place: {} for place in of_block}
            token, expert, code = checkpoint.smixae.firings(x)
            for row, one, numbers in zip(token.tolist(), expert.tolist(), code.cpu().numpy(), strict=True):
                if row < n:
                    codes[of_block[row]][one] = numbers
    return Run(norms, codes)


def _tokens(store: Store, addresses: list[tuple[int, int]]) -> dict[tuple[int, int], list[int]]:
    rows = store.sql(
        'SELECT task, "window", tokens FROM windows JOIN (SELECT unnest($tasks) AS task, unnest($windows) AS "window") '
        'USING (task, "window")',
        tasks=[task for task, _ in addresses],
        windows=[window for _, window in addresses],
    )
    return {(task, window): tokens for task, window, tokens in rows.iter_rows()}


def _stream(store: Store, stage: str) -> StreamConfig:
    """Return how a stage cut its text into windows."""
    from atlas.activations.stream import StreamConfig

    told = store.provenance()["settings"].get(stage, {}).get("stream", {})
    known = {field.name: told[field.name] for field in fields(StreamConfig) if field.name in told}
    return StreamConfig(**known)


def _windows_check(store: Store, model: LanguageModel) -> Check:
    """Look whether windows are whole: none longer than the model's, and none shorter but the last of its document."""
    from atlas.activations.stream import StreamConfig, window_width

    told = store.provenance()["settings"].get("harvest", {}).get("stream", {})
    width = window_width(model.tokenizer, StreamConfig(window_tokens=told.get("window_tokens", StreamConfig().window_tokens)))
    rows = store.sql(
        """
        SELECT task, "window", len(windows.tokens) AS n, ordinal < max(ordinal) OVER (PARTITION BY task, document) AS goes_on
        FROM windows JOIN tasks USING (task) WHERE kind = 'corpus'
        """
    )
    wrong = rows.filter((pl.col("n") > width) | (pl.col("goes_on") & (pl.col("n") != width)) | (pl.col("n") == 0))
    faults = [
        Fault("window", f"windows, task {task}, window {window}", f"is not whole ({expected(n, width)} tokens)")
        for task, window, n, _ in wrong.iter_rows()
    ]
    return Check("windows", len(rows), tuple(faults))


def _axes(store: Store) -> dict[int, Array]:
    """Return, of each expert, the map from code to drawn coordinates, (d_code, axes)."""
    found: dict[int, list[list[float]]] = {}
    for expert, code in store.table("code_axes").sort("expert", "axis").select("expert", "code").iter_rows():
        found.setdefault(expert, []).append(code)
    return {expert: np.array(codes[:N_AXES]).T for expert, codes in found.items()}


def _firing(row: Mapping[str, Any], run: Run, axes: Mapping[int, Array], threshold: float, tolerance: float) -> Iterator[Fault]:
    """Compare one firing with what the model gives: whether it fires, how strongly, and where it is drawn."""
    place, expert, norm = _place(row), row["expert"], float(row["norm"])
    where = f"task {place.task}, expert {expert}, window {place.window}, position {place.position}"
    if place not in run.norms or not 0 <= expert < len(run.norms[place]):
        yield Fault("firing", where, "has no row in the model: the token is a special one, or outside of its window")
        return
    found = float(run.norms[place][expert])
    if not found > threshold * (1 - tolerance):  # a norm that is no number passes none
        yield Fault("firing", where, f"does not fire: its norm passes no threshold of {threshold:.6g} ({expected(norm, found)})")
    elif not abs(found - norm) <= tolerance * found:
        yield Fault("firing", where, f"another norm ({expected(norm, found)})")
    code = run.codes[place].get(expert)
    if "xyz" in row and code is not None and expert in axes:
        wanted = np.zeros(N_AXES)
        drawn = code.astype(np.float64) @ axes[expert]
        wanted[: len(drawn)] = drawn
        reach = float(np.linalg.norm(code) * np.linalg.norm(axes[expert]))
        if not _alike(np.array(row["xyz"]), wanted, tolerance * reach):
            yield Fault("firing", where, f"drawn elsewhere ({expected(_numbers(row['xyz']), _numbers(wanted))})")


def _alike(one: Array, other: Array, reach: float) -> bool:
    return one.shape == other.shape and bool(np.abs(one - other).max() <= reach)


def _numbers(values: Any) -> str:
    return " ".join(f"{value:.5g}" for value in values)


def _codes(store: Store, table: str, column: str, tokens: pl.DataFrame) -> dict[tuple[int, int], dict[int, Array]]:
    """Return the codes of all firings at some tokens of a sample, by task and token."""
    rows = store.sql(
        f"SELECT task, {column} AS token, expert, code FROM {table} "
        f"JOIN (SELECT unnest($tasks) AS task, unnest($tokens) AS {column}) USING (task, {column})",
        tasks=tokens["task"].to_list(),
        tokens=tokens["token"].to_list(),
    )
    found: dict[tuple[int, int], dict[int, Array]] = {}
    for task, token, expert, code in rows.iter_rows():
        found.setdefault((task, token), {})[expert] = np.array(code)
    return found


def _token(where: str, told: Mapping[int, Array], place: Place, run: Run, threshold: float, tolerance: float) -> Iterator[Fault]:
    """Compare what all experts do at one token: which fire, with which code, and that the others are silent."""
    if place not in run.norms:
        yield Fault("firing", where, "has no row in the model: the token is a special one, or outside of its window")
        return
    norms, codes = run.norms[place], run.codes[place]
    for expert in np.flatnonzero(~(norms <= threshold * (1 + tolerance))).tolist():
        if expert not in told:
            said = expected("no firing", f"a norm of {norms[expert]:.6g}")
            yield Fault("silence", f"{where}, expert {expert}", f"it fires, and the table says nothing of it ({said})")
    for expert, code in told.items():
        here = f"{where}, expert {expert}"
        if not 0 <= expert < len(norms):
            yield Fault("firing", here, "there is no such expert")
        elif not norms[expert] > threshold * (1 - tolerance):
            yield Fault("firing", here, f"does not fire ({expected(float(np.linalg.norm(code)), float(norms[expert]))})")
        elif expert in codes and not _alike(code, codes[expert], tolerance * float(norms[expert])):
            yield Fault("firing", here, f"another code ({expected(_numbers(code), _numbers(codes[expert]))})")


def _unchecked(store: Store) -> str:
    """Return what cannot be run again, in words."""
    (points, tasks) = store.sql(
        'SELECT count(*), count(DISTINCT task) FROM points JOIN windows USING (task, "window") WHERE len(tokens) = 0'
    ).row(0)
    if not points:
        return ""
    return f"{points:,} points of {tasks:,} task{'' if tasks == 1 else 's'} are of rows without text, which no model reads"
