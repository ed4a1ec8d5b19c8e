"""What the neighbours and the map of a dictionary cost: the figures of docs/benchmarks/geometry.md.

.venv/bin/python tools/bench_geometry.py neighbours --experts 2048 --d-in 384    # each kind by itself
.venv/bin/python tools/bench_geometry.py overview --experts 16384 --d-in 384     # the map, step by step
.venv/bin/python tools/bench_geometry.py quality --experts 16384 --d-in 384      # trustworthiness and continuity alone
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from atlas.geometry.layout import layout, quality
from atlas.geometry.neighbours import context_overlaps, overlaps
from atlas.geometry.overview import OverviewConfig, clusters, similarity
from atlas.geometry.similarity import Sampled, nearest
from atlas.stages import Ragged

D_CODE, D_EXPERT = 3, 8
FAMILY = 80
"""Experts that write into much the same directions and fire on the same tokens."""
TOKENS, WINDOW, VOCABULARY = 20_000, 128, 30_000
FAMILIES_A_TOKEN, MEMBERS_A_TOKEN, STRAYS_A_TOKEN = 4, 14, 10

T = TypeVar("T")


class Made(NamedTuple):
    """A made-up dictionary, and what it did on a made-up corpus."""

    written: torch.Tensor
    read: torch.Tensor
    windows: Ragged
    sample: Sampled
    dense: np.ndarray


def made(n_experts: int, d_in: int) -> Made:
    """Return families of experts, and a token sample with about 64 firings on a token."""
    rng = np.random.default_rng(0)
    n_families = max(1, n_experts // FAMILY)
    family = rng.integers(0, n_families, n_experts)
    middle = rng.standard_normal((n_families, D_CODE, d_in), dtype=np.float32)
    written = middle[family] + 1.5 * rng.standard_normal((n_experts, D_CODE, d_in), dtype=np.float32)
    read = rng.standard_normal((n_experts, D_EXPERT, d_in), dtype=np.float32)

    by_family = np.argsort(family, kind="stable")
    start = np.searchsorted(family[by_family], np.arange(n_families + 1))
    fired = []
    for _ in range(TOKENS):
        active = rng.integers(0, n_families, FAMILIES_A_TOKEN)
        members = [rng.choice(by_family[start[one] : start[one + 1]], MEMBERS_A_TOKEN) for one in active]
        fired.append(np.unique(np.concatenate([*members, rng.integers(0, n_experts, STRAYS_A_TOKEN)])))
    n_windows = TOKENS // 4
    word = rng.zipf(1.2, n_windows * WINDOW)
    word = np.where(word < VOCABULARY, word, rng.integers(0, VOCABULARY, len(word)))
    return Made(
        torch.from_numpy(written),
        torch.from_numpy(read),
        Ragged(word.astype(np.int32), np.arange(n_windows + 1) * WINDOW),
        Sampled(
            np.repeat(np.arange(n_windows), 4),
            rng.integers(0, WINDOW, TOKENS),
            np.repeat(np.arange(TOKENS), [len(one) for one in fired]),
            np.concatenate(fired),
        ),
        np.zeros(n_experts, dtype=bool),
    )


def timed(what: str, work: Callable[[], T]) -> T:
    """Do something, and print the seconds it took, of the clock and of the processor, and the process's peak memory so far."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{what:12} {wall:7.1f} s   {cpu:7.1f} s of processor   peak {peak:.2f} GB", flush=True)
    return result


def neighbours(given: Made) -> None:
    """Time the nearest twenty of each kind."""
    timed("output", lambda: overlaps(given.written))
    timed("encoder", lambda: overlaps(given.read))
    timed("context", lambda: context_overlaps(given.windows, given.sample, given.dense))


def overview(given: Made) -> None:
    """Time the map."""
    config = OverviewConfig()
    alike = timed("similarity", lambda: similarity(given.written, given.sample, given.dense, config))
    graph = timed("graph", lambda: nearest(alike, config.drawn_by))
    place = timed("layout", lambda: layout(graph, config.seed))
    found = timed("clusters", lambda: clusters(place))
    judged = timed("quality", lambda: quality(alike, place, config.neighbours))
    print(f"{found.max() + 1} clusters, {judged}")


def judged(given: Made) -> None:
    """Time the quality of a layout at random."""
    config = OverviewConfig()
    alike = similarity(given.written, given.sample, given.dense, config)
    place = np.random.default_rng(0).normal(size=(len(given.dense), 2))
    print(timed("quality", lambda: quality(alike, place, config.neighbours)))


if __name__ == "__main__":
    what = {"neighbours": neighbours, "overview": overview, "quality": judged}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=what)
    parser.add_argument("--experts", type=int, default=2048)
    parser.add_argument("--d-in", type=int, default=384)
    asked = parser.parse_args()
    dictionary = timed("made up", lambda: made(asked.experts, asked.d_in))
    per_token = len(dictionary.sample.expert) / TOKENS
    print(f"{asked.experts:,} experts, {per_token:.0f} firings on a token, {torch.get_num_threads()} threads")
    what[asked.what](dictionary)
