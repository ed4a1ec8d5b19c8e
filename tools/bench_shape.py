"""How well shapes are told, on clouds whose shape is known: the figures of docs/benchmarks/shape.md.

.venv/bin/python tools/bench_shape.py classes [SEED …]   # each class and each structureless family, by noise and number of points
.venv/bin/python tools/bench_shape.py outside            # shapes that no class was made for
.venv/bin/python tools/bench_shape.py time               # 2,048 clouds of 1,000 points, two processes

Thresholds were chosen on seeds 0 to 5; seeds 6 to 10 are reported.
"""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from atlas.geometry.shape import CLASSES, Cloud, Shape, ShapeConfig, classify, measure_all, tabulate

Points = np.ndarray
Generator = np.random.Generator

NOISES, SIZES = (0.0, 0.02, 0.05, 0.1), (200, 500, 1000)
N_EACH, N_STRUCTURELESS, N_CELL = 30, 110, 4
"""Clouds a seed: of each class at 5 % and 500 points, of each structureless family, of each class at each noise and size."""
CONDITION = 3.0
WORKERS = 2


def quiet(done: int, of: int) -> None:
    """Say nothing."""


def turn(rng: Generator) -> Points:
    """Return a random rotation."""
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    return q * np.sign(np.diag(r))


def linear_map(rng: Generator) -> Points:
    """Return a linear map of condition number up to three."""
    return turn(rng) @ np.diag(np.exp(rng.uniform(0, np.log(CONDITION), 3))) @ turn(rng)


def flat(*columns: Points) -> Points:
    """Return points of one or two coordinates in space."""
    return np.stack([*columns, *[np.zeros(len(columns[0]))] * (3 - len(columns))], axis=1)


def line(rng: Generator, n: int) -> Points:
    """Return a uniform segment, a normal one or an exponential ray."""
    kind = rng.integers(3)
    return flat([rng.uniform(-1, 1, n), rng.standard_normal(n), rng.exponential(size=n)][kind])


def curve(rng: Generator, n: int) -> Points:
    """Return an arc of 90 to 270 degrees, a helix of up to one and a half turns, a parabola, an S or a spiral."""
    kind, u = rng.integers(5), rng.uniform(-1, 1, n)
    if kind == 0:
        angle = u * np.deg2rad(rng.uniform(90, 270)) / 2
        return flat(np.cos(angle), np.sin(angle))
    if kind == 1:
        turns = rng.uniform(0.5, 1.5)
        return np.stack([np.cos(np.pi * turns * u), np.sin(np.pi * turns * u), u * turns * rng.uniform(0.7, 2)], axis=1)
    if kind == 2:
        return flat(u, rng.uniform(0.7, 2) * u**2)
    if kind == 3:
        angle = np.abs(u) * np.pi
        return flat(np.sign(u) * (1 - np.cos(angle)), np.sign(u) * np.sin(angle))
    part = (u + 1) / 2
    angle = 2 * np.pi * rng.uniform(1, 1.75) * part
    return flat((0.2 + 0.8 * part) * np.cos(angle), (0.2 + 0.8 * part) * np.sin(angle))


def ring(rng: Generator, n: int) -> Points:
    """Return a circle, one of uneven density, a wavy or a tilted one."""
    kind = rng.integers(4)
    angle = rng.vonmises(0, rng.uniform(0.2, 1), n) if kind == 1 else rng.uniform(0, 2 * np.pi, n)
    height = np.zeros(n)
    if kind == 2:
        height = rng.uniform(0.2, 0.6) * np.cos(2 * angle)
    if kind == 3:
        height = rng.uniform(0.2, 1) * np.cos(angle) + rng.uniform(0, 0.3) * np.sin(3 * angle)
    return np.stack([np.cos(angle), np.sin(angle), height], axis=1)


def sheet(rng: Generator, n: int) -> Points:
    """Return a square, a disc, a saddle, half a cylinder, half a sphere or a turn of a Swiss roll."""
    kind = rng.integers(6)
    u, v = rng.uniform(-1, 1, (2, n))
    if kind == 0:
        return flat(u, v)
    if kind == 1:
        radius = np.sqrt((v + 1) / 2)
        return flat(radius * np.cos(np.pi * u), radius * np.sin(np.pi * u))
    if kind == 2:
        return np.stack([u, v, rng.uniform(0.5, 1) * (u**2 - v**2)], axis=1)
    if kind == 3:
        return np.stack([np.cos(np.pi / 2 * u), np.sin(np.pi / 2 * u), v * rng.uniform(0.8, 1.5)], axis=1)
    if kind == 4:
        height = (v + 1) / 2
        radius = np.sqrt(1 - height**2)
        return np.stack([radius * np.cos(np.pi * u), radius * np.sin(np.pi * u), height], axis=1)
    part = (u + 1) / 2
    angle = 2 * np.pi * rng.uniform(0.6, 1.1) * part
    return np.stack([(0.5 + part) * np.cos(angle), (0.5 + part) * np.sin(angle), 1.5 * v], axis=1)


def clusters(rng: Generator, n: int) -> Points:
    """Return two to eight blobs of 8 % of the points and more, as tight as a point or up to a tenth of the least distance."""
    k = int(rng.integers(2, 9))
    least = 0.0
    while least < 0.8:
        centre = rng.standard_normal((k, 3))
        least = np.linalg.norm(centre[:, None] - centre[None], axis=2)[np.triu_indices(k, 1)].min()
    share = np.maximum(rng.dirichlet(np.full(k, 5.0)), 0.08)
    chosen = rng.choice(k, n, p=share / share.sum())
    return centre[chosen] + rng.choice([0, 0.05, 0.1]) * least * rng.standard_normal((n, 3))


SHAPES: dict[str, Callable[[Generator, int], Points]] = {
    "line or ray": line,
    "curve": curve,
    "ring": ring,
    "sheet": sheet,
    "clusters": clusters,
}


def direct(shape: Callable[[Generator, int], Points], rng: Generator, n: int, noise: float) -> Cloud:
    """Return a shape about the origin or off it, mapped, with noise of so much of the mapped shape's smallest axis.

    The gate, of radius 1, lies anywhere between the origin and the point that is nearest to it.
    """
    code = shape(rng, n) @ turn(rng)
    code = (code - code.mean(axis=0) * rng.integers(2)) / np.sqrt(code.var(axis=0).sum())
    away = rng.standard_normal(3)
    code = code + rng.choice([0, rng.uniform(0, 3)]) * away / np.linalg.norm(away)
    basis = linear_map(rng)
    contribution = code @ basis
    axes = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(contribution.T)), 0))
    contribution += noise * axes[axes > 1e-6 * axes[-1]][0] * rng.standard_normal((n, 3))
    code = contribution @ np.linalg.inv(basis)
    threshold = np.linalg.norm(code, axis=1).min() * rng.uniform(0, 1)
    return Cloud(code / threshold, basis * threshold)


def gated(pool: Points, rng: Generator, n: int, basis: Points, cut: float) -> Cloud:
    """Return what a gate lets through that cuts so large a share of `pool` off, which is put anywhere about the origin."""
    away = rng.standard_normal(3)
    pool = pool + rng.choice([0, rng.uniform(0, 3)]) * away / np.linalg.norm(away)
    norm = np.linalg.norm(pool, axis=1)
    threshold = float(np.quantile(norm, cut))
    return Cloud(pool[norm > threshold][:n] / threshold, basis * threshold)


def structureless(family: str, rng: Generator, n: int) -> Cloud:
    """Return a gated Gaussian, a gated t with three degrees of freedom, two blobs at any distance, or a ray."""
    cut = float(rng.choice([0.001, rng.uniform(0, 0.97)]))
    size = int(np.ceil(n / (1 - cut) * 1.05)) + 20
    basis = linear_map(rng) if family in ("two blobs", "ray") else turn(rng)
    normal = rng.standard_normal((size, 3))
    if family == "gated Gaussian":
        return gated(normal @ linear_map(rng), rng, n, basis, cut)
    if family == "gated t3":
        return gated(normal / np.sqrt(rng.chisquare(3, size) / 3)[:, None] @ linear_map(rng), rng, n, basis, cut)
    towards = rng.standard_normal(3)
    towards /= np.linalg.norm(towards)
    if family == "two blobs":
        second = rng.random(size) < rng.uniform(0.1, 0.9)
        return gated(normal + second[:, None] * rng.uniform(0, 6) * towards, rng, n, basis, cut)
    length = float(rng.choice([0.05, 0.2, 0.5, 1, 2]))
    along = towards @ basis
    noise = rng.uniform(0, 0.1) * length * np.linalg.norm(along) * rng.standard_normal((2 * n + 50, 3))
    code = ((1 + length * rng.exponential(size=2 * n + 50))[:, None] * along + noise) @ np.linalg.inv(basis)
    return Cloud(code[np.linalg.norm(code, axis=1) > 1][:n], basis)


FAMILIES = {
    "gated Gaussian": ("unclear",),
    "gated t3": ("unclear",),
    "two blobs": ("clusters", "unclear"),
    "ray": ("line or ray",),
}
"""What each may be called."""


def outside(rng: Generator, n: int) -> dict[str, Points]:
    """Return shapes that no class was made for, by name."""
    t, (u, v) = rng.uniform(0, 2 * np.pi, n), rng.uniform(-1, 1, (2, n))
    first, share, normal = np.arange(n) < n // 2, (np.arange(n) + 0.5) / n, rng.standard_normal((n, 3))
    circle, ball = flat(np.cos(t), np.sin(t)), normal / np.linalg.norm(normal, axis=1, keepdims=True)

    def blobs(k: int, width: float) -> Points:
        angle = 2 * np.pi * rng.integers(0, k, n) / k
        return flat(np.cos(angle), np.sin(angle)) + width * normal * [1, 1, 0]

    def outline(corners: int) -> Points:
        angle = 2 * np.pi * np.arange(corners + 1) / corners
        corner, side, part = flat(np.cos(angle), np.sin(angle)), rng.integers(0, corners, n), ((u + 1) / 2)[:, None]
        return corner[side] * (1 - part) + corner[side + 1] * part

    def von_mises(concentration: float) -> Points:
        angle = rng.vonmises(0, concentration, n)
        return flat(np.cos(angle), np.sin(angle))

    arm, part = 2 * np.pi * rng.integers(0, 3, n) / 3, (u + 1) / 2
    annulus = np.sqrt(rng.uniform(0.36, 1, n))
    return {
        "figure-eight": flat(np.sin(t), np.sin(t) * np.cos(t)),
        "trefoil": np.stack([np.sin(t) + 2 * np.sin(2 * t), np.cos(t) - 2 * np.cos(2 * t), -np.sin(3 * t)], axis=1),
        "sphere": ball,
        "torus": np.stack(
            [(2 + 0.7 * np.cos(np.pi * u)) * np.cos(t), (2 + 0.7 * np.cos(np.pi * u)) * np.sin(t), 0.7 * np.sin(np.pi * u)],
            axis=1,
        ),
        "three-arm star": flat(part * np.cos(arm), part * np.sin(arm)),
        "cross": np.where(first[:, None], flat(u), flat(0 * u, u)),
        "L": np.where(first[:, None], flat(part), flat(0 * u, part)),
        "two separate rings": circle + first[:, None] * [4, 0, 0],
        "ring with a blob at its centre": np.where((share < 0.7)[:, None], circle, 0.1 * normal * [1, 1, 0]),
        "ring and 10 % background": np.where((share < 0.9)[:, None], circle, 1.2 * flat(u, v)),
        "thick annulus, 0.6 to 1": annulus[:, None] * circle,
        "7 tight blobs on a circle": blobs(7, 0.03),
        "12 tight blobs on a circle": blobs(12, 0.03),
        "24 tight blobs on a circle": blobs(24, 0.02),
        "von Mises ring, concentration 1": von_mises(1),
        "von Mises ring, concentration 2": von_mises(2),
        "two parallel lines": flat(u, 0.8 * first),
        "ball": ball * np.cbrt(part)[:, None],
        "cube": np.stack([u, v, rng.uniform(-1, 1, n)], axis=1),
        "planar Gaussian": normal * [1, 0.8, 0],
        "Gaussian 1 : 0.15 : 0.1": normal * [1, 0.15, 0.1],
        "helix of 3 turns": np.stack([np.cos(3 * np.pi * u), np.sin(3 * np.pi * u), 1.5 * u], axis=1),
        "cone": np.sqrt(part)[:, None] * np.stack([np.cos(t), np.sin(t), np.full(n, 1.2)], axis=1),
        "cylinder": np.stack([np.cos(t), np.sin(t), 1.5 * u], axis=1),
        "Möbius band": np.stack(
            [(1 + 0.4 * u * np.cos(t / 2)) * np.cos(t), (1 + 0.4 * u * np.cos(t / 2)) * np.sin(t), 0.4 * u * np.sin(t / 2)],
            axis=1,
        ),
        "square's outline": outline(4),
        "triangle's outline": outline(3),
    }


def told(clouds: list[Cloud], source: list[int]) -> list[Shape]:
    """Return the shape of each cloud: one table for all, and p adjusted within each source."""
    config = ShapeConfig()
    measured = measure_all(clouds, config, WORKERS, quiet)
    null = tabulate(measured, 1.0, config, WORKERS, quiet)
    shapes: list[Shape | None] = [None] * len(clouds)
    for one in sorted(set(source)):
        rows = [i for i, of in enumerate(source) if of == one]
        found = classify([measured[i] for i in rows], null, config)
        print(f"source {one}: expected of chance", {name: round(n, 1) for name, n in found.expected.items()})
        for i, shape in zip(rows, found.shapes, strict=True):
            shapes[i] = shape
    return [shape for shape in shapes if shape is not None]


def classes(seeds: list[int]) -> None:
    """Print the confusion matrix, the share of right ones by noise and size, and false rings."""
    clouds, source, kind = [], [], []

    def add(cloud: Cloud, seed: int, *of: object) -> None:
        clouds.append(cloud)
        source.append(seed)
        kind.append(of)

    for seed in seeds:
        rng = np.random.default_rng(seed)
        for name, shape in SHAPES.items():
            for _ in range(N_EACH):
                add(direct(shape, rng, 500, 0.05), seed, "matrix", name)
            for noise in NOISES:
                for n in SIZES:
                    for _ in range(N_CELL):
                        add(direct(shape, rng, n, noise), seed, "cell", name, noise, n)
        for name in FAMILIES:
            for i in range(N_STRUCTURELESS):
                add(structureless(name, rng, 500), seed, "matrix" if i < N_EACH else "more", name)
    began = time.perf_counter()
    shapes = told(clouds, source)
    print(f"{len(clouds)} clouds in {time.perf_counter() - began:.0f} s")

    right = {name: (name,) for name in SHAPES} | FAMILIES
    count = Counter((of[1], shape.name) for of, shape in zip(kind, shapes, strict=True) if of[0] == "matrix")
    print("\n| drawn | " + " | ".join(CLASSES) + " | right |\n|---" * 1 + "|---" * (len(CLASSES) + 1) + "|")
    for name, fine in right.items():
        total = sum(count[name, called] for called in CLASSES)
        cells = [str(count[name, called] or "") for called in CLASSES]
        print(f"| {name} | " + " | ".join(cells) + f" | {sum(count[name, called] for called in fine) / total:.1%} |")
    total, fine_ones = sum(count.values()), sum(count[name, called] for name, fine in right.items() for called in fine)
    print(f"right: {fine_ones} of {total}, {fine_ones / total:.2%}")

    cell = Counter((of[2], of[3], of[1] == shape.name) for of, shape in zip(kind, shapes, strict=True) if of[0] == "cell")
    print("\n| noise | " + " | ".join(f"{n} points" for n in SIZES) + " |\n|---" + "|---" * len(SIZES) + "|")
    for noise in NOISES:
        shares = [cell[noise, n, True] / (cell[noise, n, True] + cell[noise, n, False]) for n in SIZES]
        print(f"| {noise:.0%} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")

    print("\n| family | clouds | " + " | ".join(CLASSES) + " | rings, 95 % bound |\n|---" + "|---" * (len(CLASSES) + 2) + "|")
    for name in [*FAMILIES, "all"]:
        called = Counter(
            shape.name for of, shape in zip(kind, shapes, strict=True) if of[1] == name or (name == "all" and of[1] in FAMILIES)
        )
        total = called.total()
        print(
            f"| {name} | {total} | "
            + " | ".join(str(called[c] or "") for c in CLASSES)
            + f" | {bound(called['ring'], total):.2%} |"
        )


def bound(found: int, of: int) -> float:
    """Return the upper 95 % bound of a share (Clopper & Pearson)."""
    from scipy.stats import beta

    return float(beta.ppf(0.95, found + 1, of - found))


def from_outside(seeds: list[int]) -> None:
    """Print what each shape from outside is called, five times each."""
    clouds, names = [], []
    for seed in seeds:
        for name in outside(np.random.default_rng(0), 10):
            rng = np.random.default_rng(seed)
            clouds.append(direct(lambda rng, n, name=name: outside(rng, n)[name], rng, 500, 0.05))
            names.append(name)
    shapes = told(clouds, [0] * len(clouds))
    for name in dict.fromkeys(names):
        found = [shape for of, shape in zip(names, shapes, strict=True) if of == name]
        called = Counter(shape.name for shape in found).most_common()
        print(
            f"| {name} | "
            + ", ".join(f"{of} {n}" for of, n in called)
            + f" | {np.median([s.loops for s in found]):.0f} | {np.median([s.clusters for s in found]):.0f} |"
        )


def timed(seeds: list[int]) -> None:
    """Print how long 2,048 clouds of 1,000 points take: shapes and structureless ones by turns."""
    rng = np.random.default_rng(seeds[0])
    makers = [lambda s=s: direct(s, rng, 1000, 0.05) for s in SHAPES.values()]
    makers += [lambda f=f: structureless(f, rng, 1000) for f in FAMILIES]
    clouds = [makers[i % len(makers)]() for i in range(2048)]
    config, began = ShapeConfig(), time.perf_counter()
    measured = measure_all(clouds, config, WORKERS, quiet)
    after, spent = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    null = tabulate(measured, 1.0, config, WORKERS, quiet)
    tabled, in_all = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    classify(measured, null, config)
    print(f"measured {after - began:.0f} s, table {tabled - after:.0f} s, classes {time.perf_counter() - tabled:.1f} s")
    print(f"processor time: {spent:.0f} s measured, {in_all - spent:.0f} s table")


COMMANDS = {"classes": classes, "outside": from_outside, "time": timed}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(str(__doc__))
    COMMANDS[sys.argv[1]]([int(seed) for seed in sys.argv[2:]] or [6, 7, 8, 9, 10])
