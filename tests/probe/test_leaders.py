"""The best experts come in the order of the ranking score, with what they are read against; what is not there is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from atlas.errors import TaskError
from atlas.probe.leaders import Kind, leaders

NAN = float("nan")


def scores(task: list[int], hypothesis: list[int], expert: list[int]) -> dict[str, Any]:
    n = len(task)
    numbers = ("all_rows", "all_rows_low", "all_rows_high", "where_it_fires", "p_order", "p_order_adjusted", "left_out_label")
    return {
        "task": np.array(task),
        "hypothesis": np.array(hypothesis),
        "expert": np.array(expert),
        **{name: np.linspace(0.1, 0.2, n) + place for place, name in enumerate(numbers)},
        "n_where_it_fires": np.full(n, 60),
        "covered": np.full(n, 7),
        "testable": np.arange(n) % 2 == 0,
        "order_supported": np.zeros(n, dtype=bool),
    }


TABLES: dict[str, dict[str, Any]] = {
    "tasks": {"task": [1, 2, 3], "name": ["months", "colours", "bodies"]},
    "labels": {"task": np.array([1] * 12 + [2] * 8 + [3] * 4)},
    "titles": {"expert": [0, 1, 2], "title": ["nought", "one", "two"]},
    "hypotheses": {
        "task": np.array([1, 1, 2]),
        "hypothesis": [0, 1, 0],
        "name": ["ring", "season", "hue"],
        "title": ["Ring", "Season", "Hue"],
        "measure": ["R²", "balanced accuracy", "R²"],
        "probe": ["linear", "multinomial", "linear"],
        "testable": [3, 2, 1],
    },
    "scores": scores([1, 1, 1, 1, 2], [0, 0, 0, 1, 0], [2, 0, 1, 1, 2]),
    "mention_scores": scores([1, 1], [0, 0], [1, 0]),
    "baselines": {
        "task": [1, 1, 1],
        "hypothesis": [0, 0, 1],
        "reference": ["chance", "word_embedding", "chance"],
        "metric": ["all_rows", "left_out_label", "all_rows"],
        "value": [0.27, NAN, 0.67],
    },
    "reference_experts": {
        **{"task": np.array([1, 1]), "expert": np.array([0, 2]), "rank": np.array([0, 1]), "rows": np.array([90, 80])},
        **{"fisher": np.array([4.0, 9.0]), "adjusted_fisher": np.array([3.0, 9.0]), "continuity": np.array([NAN, 0.5])},
    },
    "reference_scores": {
        **{"task": np.array([1, 1, 1]), "hypothesis": np.array([0, 0, 1]), "expert": np.array([0, 2, 2])},
        **{"mean": np.array([NAN, 0.4, 0.3]), "deviation": np.array([NAN, 0.1, 0.2])},
    },
    "absences": {
        "name": ["letter_case", "colours"],
        "title": ["Letter case", "Colours"],
        "what": ["task", "mentions"],
        "reason": ["It needs case.", "Only 3 words."],
    },
}


def test_leaders_come_by_rank_with_their_titles_and_references() -> None:
    (found,) = leaders(TABLES, "months", "ring", 2, "sentences")

    assert (found.task, found.hypothesis, found.measure, found.labels, found.testable) == ("months", "ring", "R²", 12, 2)
    assert [(row["rank"], row["expert"], row["title"]) for row in found.experts] == [(1, 2, "two"), (2, 0, "nought")]
    assert found.experts[0]["all_rows"] == pytest.approx(0.1) and found.experts[0]["order_supported"] is False
    assert found.references == {"chance": {"all_rows": 0.27}, "word_embedding": {"left_out_label": None}}


def test_without_a_name_all_are_listed() -> None:
    named = [(one.task, one.hypothesis) for one in leaders(TABLES, None, None, 1, "sentences")]
    assert named == [("months", "ring"), ("months", "season"), ("colours", "hue")]
    assert [one.hypothesis for one in leaders(TABLES, "months", None, 1, "sentences")] == ["ring", "season"]


def test_mentions_are_the_same_of_another_table() -> None:
    (found,) = leaders(TABLES, None, None, 5, "mentions")
    assert [row["expert"] for row in found.experts] == [1, 0] and found.testable == 1 and found.references == {}


def test_reference_lists_its_probes_by_their_mean_and_its_own_ratio() -> None:
    ring, season, ratio = leaders(TABLES, "months", None, 5, "reference")
    assert [(row["expert"], row["mean"]) for row in ring.experts] == [(2, 0.4), (0, None)]
    assert (season.measure, ratio.hypothesis) == ("macro F1", "fisher")
    assert [(row["expert"], row["fisher"], row["continuity"]) for row in ratio.experts] == [(2, 9.0, 0.5), (0, 4.0, None)]


@pytest.mark.parametrize(
    ("task", "hypothesis", "kind", "said"),
    [
        ("moons", None, "sentences", "There is no task 'moons' here; there is months, colours, bodies."),
        ("letter_case", None, "sentences", "bodies. It is absent: It needs case."),
        ("months", "rung", "sentences", "There is no hypothesis 'rung' here; there is ring, season."),
        (
            "bodies",
            None,
            "sentences",
            "of 'bodies': it has no hypothesis, or no expert fires on 50 of its rows.",
        ),
        ("colours", None, "mentions", "no scores of 'colours' on natural mentions. colours: Only 3 words."),
        ("colours", None, "reference", "run `atlas probe --protocol reference`."),
    ],
)
def test_what_is_not_there_is_said(task: str, hypothesis: str | None, kind: Kind, said: str) -> None:
    with pytest.raises(TaskError) as refused:
        leaders(TABLES, task, hypothesis, 5, kind)
    assert said in str(refused.value)
