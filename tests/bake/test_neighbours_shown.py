"""The neighbours at the foot of an expert's page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atlas.bake.neighbours import KINDS, LEAST_SAMPLED, Neighbours
from atlas.geometry.neighbours import LEAST_FIRINGS
from atlas.store import Store, write_atlas
from synthetic import Size, kind, synthetic_tables

SIZE = Size(points=20)
RING, SILENT, DENSE, NO_CONTEXT = 0, 3, 11, 16


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A synthetic atlas."""
    path = tmp_path_factory.mktemp("neighbours") / "atlas.duckdb"
    write_atlas(path, synthetic_tables(size=SIZE))
    with Store(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def neighbours(store: Store) -> Neighbours:
    """Its neighbours."""
    return Neighbours(store, store.experts())


def changed(folder: Path, tables: dict[str, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Return what is shown of an atlas whose neighbours are all gone, by expert."""
    kept = {name: columns for name, columns in tables.items() if name not in ("neighbours", "co_firing")}
    write_atlas(folder / "a.duckdb", kept)
    with Store(folder / "a.duckdb") as opened:
        shown = Neighbours(opened, opened.experts())
        return {expert: shown.payload(expert) for expert in opened.experts()["expert"]}


def test_neighbours_are_the_tables_as_places_in_the_manifest(store: Store, neighbours: Neighbours) -> None:
    numbers = store.experts()["expert"].to_list()
    shown = neighbours.payload(RING)
    assert tuple(shown) == KINDS
    for of in KINDS:
        wanted = store.sql("SELECT neighbour, value FROM expert_neighbours WHERE expert = 0 AND kind = $k ORDER BY rank", k=of)
        assert [numbers[row] for row in shown[of]["row"]] == wanted["neighbour"].to_list() != []
        assert shown[of]["value"] == pytest.approx(wanted["value"].to_list(), rel=0.01)


def test_an_estimate_stands_with_its_count(store: Store, neighbours: Neighbours) -> None:
    shown = neighbours.payload(RING)
    assert shown["co_firing"]["n"] == store.table("co_firing").sql("SELECT tokens FROM self WHERE expert = 0")["tokens"].to_list()
    fired = dict(store.sql("SELECT expert, count(*) FROM token_sample_firings WHERE task = 0 GROUP BY ALL").iter_rows())
    numbers = store.experts()["expert"].to_list()
    assert shown["context"]["n"] == [fired.get(numbers[row], 0) for row in shown["context"]["row"]]
    assert "n" not in shown["encoder"]


def test_an_empty_kind_says_why(neighbours: Neighbours) -> None:
    assert (kind(SILENT), kind(DENSE)) == ("silent", "dense")
    silent, dense = neighbours.payload(SILENT), neighbours.payload(DENSE)
    assert {of for of in KINDS if "row" in silent[of]} == {"encoder"}
    assert silent["output"]["absent"] == silent["context"]["absent"] == "It fires on no token of the corpus."
    assert dense["co_firing"]["absent"].startswith("It is dense:")
    few = neighbours.payload(NO_CONTEXT)["context"]["absent"]
    assert re.fullmatch(r"It fires on 1?\d of the sampled tokens; 20 are needed to compare the words there\.", few)
    assert LEAST_SAMPLED == LEAST_FIRINGS


def test_weights_of_zero_are_the_reason(tmp_path: Path) -> None:
    tables = synthetic_tables(size=Size(experts=4, points=20))
    tables["experts"] = tables["experts"] | {"decoder_norm": [0.0, 1.0, 1.0, 1.0], "encoder_norm": [0.0, 1.0, 1.0, 1.0]}
    shown = changed(tmp_path, tables)
    assert shown[0]["output"]["absent"] == "Its decoder is zero: it writes nothing."
    assert shown[0]["encoder"]["absent"] == "Its encoder is zero: it reads nothing."
    assert shown[1]["output"]["absent"] == "No other expert writes into its directions."
    assert shown[1]["co_firing"]["absent"].startswith("No other expert fires on two or more of its tokens")


def test_a_single_expert_has_no_other(tmp_path: Path) -> None:
    shown = changed(tmp_path, synthetic_tables(size=Size(experts=1, points=20)))
    assert {one["absent"] for one in shown[0].values()} == {"This dictionary has no other expert."}
