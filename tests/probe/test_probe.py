"""The probe stage: what is planted in the codes comes out in the tables, and no more is claimed than was planted."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from atlas.activations.corpus import Corpus
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig
from atlas.dictionary import Checkpoint, Smixae, SmixaeConfig, Weights
from atlas.dictionary.trained_on import TRAINED_ON_FILE
from atlas.errors import AtlasError, StageMissing, TaskError
from atlas.harvest.harvest import HarvestConfig, harvest
from atlas.probe.available import Absence
from atlas.probe.claims import whole_tables
from atlas.probe.config import ProbeConfig
from atlas.probe.found import Found, find
from atlas.probe.mentions import Mentioned
from atlas.probe.rows import TaskRows, probed_sentences
from atlas.probe.scores import Fired, Rows
from atlas.probe.stage import corpus_of, probe, unprobed
from atlas.probe.tables import task_tables
from atlas.probe.tasks import Hypothesis, Sentence, Task, builtin_tasks
from atlas.sealed import write_arrays
from atlas.stages import Finished, Ragged, finished
from templated import classes_of, order_of, ring_of, templated

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
N_TEMPLATES = 27
CONFIG = ProbeConfig(n_permutations=200, stream=StreamConfig(window_tokens=32))
CORPUS_TOKENS = 100_000


def task_of(labels: tuple[str, ...] = DAYS, family: str = "calendar", name: str = "ring") -> Task:
    """A ring of labels in short templates, three to a group."""
    return templated(
        labels,
        tuple(f"every expert fires on {{label}} in {i}" for i in range(N_TEMPLATES)),
        tuple(f"group {i // 3}" for i in range(N_TEMPLATES)),
        (ring_of(len(labels)), order_of(len(labels))),
        name=name,
        title="Weekdays" if labels == DAYS else "Things",
        family=family,
        cyclic=True,
    )


def reader(n_experts: int) -> Smixae:
    """A dictionary whose experts each read three numbers of the row as they are, and fire where these are longer than ½."""
    plus_minus = torch.cat([torch.eye(3), -torch.eye(3)])
    W_enc = torch.block_diag(*[plus_minus.T] * n_experts)
    weights = Weights(
        W_enc=W_enc,
        b_enc=torch.zeros(6 * n_experts),
        W_bottleneck=plus_minus.repeat(n_experts, 1, 1),
        W_latent_dec=plus_minus.T.repeat(n_experts, 1, 1) / 2,
        W_dec=W_enc.T.contiguous(),
        b_dec=torch.zeros(3 * n_experts),
    )
    return Smixae(SmixaeConfig(3 * n_experts, n_experts, 6, 3, rescale_by_decoder_norm=False), weights, 0.5)


def harvested(n_experts: int, firings: int = 100) -> Finished:
    """What a harvest left, where every expert fired on a thousandth of the corpus."""
    return Finished(
        inputs={},
        provenance={},
        run_log={},
        tables={
            "tasks": {"tokens": [CORPUS_TOKENS]},
            "expert_stats": {"firings": np.full(n_experts, firings)},
            "frames": {"frame": np.tile(2 * np.eye(3), (n_experts, 1, 1))},
            "vocabulary": {"token": np.array([4, 9]), "text": [" four", " nine"]},
            "expert_tokens": {"expert": np.array([0]), "token": np.array([9]), "lift": np.array([3.5])},
        },
    )


Codes = dict[str, tuple[np.ndarray, np.ndarray]]
"""Name ► the rows that an expert fires on, and the codes it would have on every row."""


def rows_of(task: Task, bert: LanguageModel) -> TaskRows:
    probed, kept = probed_sentences(task, bert, CONFIG.stream)
    return TaskRows(probed, torch.zeros(len(probed), 1), kept, len(task.sentences) - len(kept))


def planted(
    task: Task, bert: LanguageModel, codes: Codes, config: ProbeConfig = CONFIG, mentions: Mentioned | str = "There are none."
) -> Found:
    """The task's real sentences, with rows in which the experts' codes are planted."""
    run = rows_of(task, bert)
    x = np.concatenate([np.where(active[:, None], code, 0.0) for active, code in codes.values()], axis=1)
    run = run._replace(x=torch.from_numpy(x.astype(np.float32)))
    embedding = np.random.default_rng(0).standard_normal((len(run.probed), 4)).astype(np.float32)
    return find(task, run, reader(len(codes)), embedding, mentions, None, config)


def tables(found: Sequence[Found], left: Finished, bert: LanguageModel) -> dict[str, dict[str, Any]]:
    """All tables of several tasks."""
    corpus, frame = corpus_of(left), np.asarray(left.tables["frames"]["frame"])
    parts = [(number, task_tables(one, frame, corpus.rate, bert, None)) for number, one in enumerate(found, start=1)]
    return whole_tables(parts, corpus)


def circle(label: np.ndarray, rng: np.random.Generator, n: int) -> np.ndarray:
    angle = 2 * np.pi * label / n
    flat = np.stack([2 * np.sin(angle), 2 * np.cos(angle), np.zeros(len(label))], axis=1)
    return flat + 0.1 * rng.standard_normal((len(label), 3))


def weekday_codes() -> Codes:
    """Experts with a ring of all days, of the weekend, of five days; one of noise, and one that is silent."""
    rng = np.random.default_rng(0)
    label = np.tile(np.arange(7), N_TEMPLATES)
    always = np.ones(len(label), dtype=bool)
    noise = rng.standard_normal((len(label), 3))
    return {
        "ring": (always, circle(label, rng, 7)),
        "weekend": (label >= 5, circle(label, rng, 7)),
        "five days": (label < 5, circle(label, rng, 7)),
        "noise": (always, 2 * noise / np.linalg.norm(noise, axis=1, keepdims=True)),
        "silent": (~always, noise),
    }


EXPERTS = {name: number for number, name in enumerate(weekday_codes())}


@pytest.fixture(scope="module")
def result(bert: LanguageModel) -> Found:
    """The experts above on the seven days."""
    return planted(task_of(), bert, weekday_codes())


Made = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def made(result: Found, bert: LanguageModel) -> Made:
    """Their tables."""
    return tables([result], harvested(len(EXPERTS)), bert)


def score(made: Made, expert: str, column: str, hypothesis: int = 0) -> Any:
    scores = made["scores"]
    (at,) = np.flatnonzero((scores["expert"] == EXPERTS[expert]) & (scores["hypothesis"] == hypothesis))
    return scores[column][at]


# What is claimed


def test_planted_ring_has_its_order_supported(made: Made) -> None:
    assert score(made, "ring", "order_supported")
    assert score(made, "ring", "p_order") == pytest.approx(14 / 5040)
    assert score(made, "ring", "all_rows") > 0.95
    assert score(made, "ring", "left_out_label") > 0.9
    assert made["titles"]["title"][EXPERTS["ring"]] == "Weekdays, ring order"
    assert made["titles"]["value"][EXPERTS["ring"]] == pytest.approx(score(made, "ring", "all_rows"))


def test_expert_of_the_weekend_has_no_ring(made: Made) -> None:
    """Two days lie on a ring of seven as well as any two points do."""
    assert score(made, "weekend", "where_it_fires") > 0.9
    assert (score(made, "weekend", "covered"), score(made, "weekend", "testable")) == (2, False)
    assert np.isnan(score(made, "weekend", "p_order")) and np.isnan(score(made, "weekend", "p_order_adjusted"))
    assert not score(made, "weekend", "order_supported")
    assert made["titles"]["title"][EXPERTS["weekend"]] == "Weekdays: Saturday, Sunday"


def test_expert_of_five_days_has_no_supported_ring_either(made: Made) -> None:
    assert score(made, "five days", "testable")
    assert (score(made, "five days", "covered"), score(made, "five days", "covered_least")) == (5, 1.0)
    assert not score(made, "five days", "order_supported")


def test_noise_is_covered_and_not_supported(made: Made) -> None:
    assert score(made, "noise", "covered") == 7
    assert not score(made, "noise", "order_supported")
    assert made["titles"]["title"][EXPERTS["noise"]] == "Weekdays"


def test_order_that_predicts_no_label_it_has_not_seen_is_not_supported(bert: LanguageModel) -> None:
    """Every claim needs a left-out-label R² above 0."""
    task = task_of()
    seen = planted(task, bert, weekday_codes())
    for tested in seen.sentences.tested:
        tested.scores.left_out_label[:] = -0.01

    found = tables([seen], harvested(len(EXPERTS)), bert)

    assert not found["scores"]["order_supported"].any()


def test_order_that_may_predict_nothing_on_new_sentences_is_not_supported(bert: LanguageModel) -> None:
    """Every claim needs an interval above 0 on the report set."""
    seen = planted(task_of(), bert, weekday_codes())
    for tested in seen.sentences.tested:
        tested.scores.all_rows_low[:] = 0.0

    found = tables([seen], harvested(len(EXPERTS)), bert)

    assert not found["scores"]["order_supported"].any()


def test_silent_expert_is_not_scored_and_titled_by_its_tokens(made: Made) -> None:
    assert EXPERTS["silent"] not in made["scores"]["expert"]
    assert made["titles"]["basis"][EXPERTS["silent"]] == "tokens"


def test_experts_titles_stand_in_order_with_their_ground(made: Made) -> None:
    titles = made["titles"]

    assert list(titles["expert"]) == list(range(len(EXPERTS)))
    assert titles["basis"] == ["order", "task", "task", "task", "tokens"]
    np.testing.assert_equal(titles["task"], [1, 1, 1, 1, np.nan])
    # Every row fires: 189 of 189 at a base rate of 0.001, with 20 rows' worth of prior.
    rate = 100.5 / (CORPUS_TOKENS + 1)
    assert titles["value"][EXPERTS["noise"]] == pytest.approx((189 + 20 * rate) / 209 / rate)


# Classes, mentions, and the reference


WEEKEND = classes_of([0, 0, 0, 0, 0, 1, 1], ("weekday", "weekend"), "weekend")


def with_weekend() -> Task:
    return replace(task_of(), hypotheses=(ring_of(7), WEEKEND))


def test_detector_of_the_weekend_tells_it_perfectly_and_no_class_has_an_order(bert: LanguageModel) -> None:
    found = tables([planted(with_weekend(), bert, weekday_codes())], harvested(len(EXPERTS)), bert)

    assert score(found, "weekend", "all_rows", 1) == score(found, "weekend", "all_rows_low", 1) == 1.0
    assert score(found, "noise", "all_rows", 1) == pytest.approx(0.5, abs=0.15)
    classes = found["scores"]["hypothesis"] == 1
    assert not found["scores"]["order_supported"][classes].any()
    assert np.isnan(found["scores"]["left_out_direction"][classes]).all()
    hypotheses = found["hypotheses"]
    assert (hypotheses["measure"], hypotheses["probe"]) == (["R²", "balanced accuracy"], ["linear", "logistic"])
    assert hypotheses["classes"][1] == ["weekday", "weekend"] and hypotheses["targets"][1] == WEEKEND.of_label.tolist()
    # Seven clusters in three dimensions are cut in two nearly at will.
    assert 0.75 < hypotheses["chance"][1] < 1


def test_classes_are_in_the_false_discovery_rate_of_all_hypotheses(bert: LanguageModel) -> None:
    found = tables([planted(with_weekend(), bert, weekday_codes())], harvested(len(EXPERTS)), bert)

    p = found["hypotheses"]["p_smallest"]
    assert np.isfinite(p).all()
    np.testing.assert_allclose(found["hypotheses"]["q"], [min(2 * min(p), max(p)) if one == min(p) else max(p) for one in p])


def test_row_by_row_targets_are_scored_and_have_no_order(bert: LanguageModel) -> None:
    of_row = np.arange(7 * N_TEMPLATES, dtype=np.float64)[:, None] % 5
    place = Hypothesis("place", "Place", "ordinal", "a column", "ridge", None, of_row)
    task = replace(task_of(), hypotheses=(place,))
    codes = weekday_codes()
    active, _ = codes["noise"]
    codes["noise"] = (active, np.column_stack([of_row, 0 * of_row, 0 * of_row]) + 1)

    found = tables([planted(task, bert, codes)], harvested(len(EXPERTS)), bert)

    assert score(found, "noise", "all_rows") > 0.99 and score(found, "ring", "all_rows") < 0.1
    assert not found["scores"]["testable"].any() and not found["scores"]["order_supported"].any()
    assert found["hypotheses"]["targets"] == [[]] and np.isnan(found["hypotheses"]["q"]).all()


def test_natural_mentions_are_scored_beside_the_sentences(bert: LanguageModel) -> None:
    """The same ring in words of a corpus, each document a template."""
    task = with_weekend()
    rng = np.random.default_rng(5)
    label, document = np.tile(np.arange(7), 30), np.repeat(np.arange(30), 7)
    rows = Rows(label, document, np.arange(30) % 9, np.arange(30) % 9 % 3 == 1, 7)
    fired = Fired(np.arange(210), np.full(210, EXPERTS["ring"]), circle(label, rng, 7).astype(np.float32))
    mentions = Mentioned(rows, fired, *(column.astype(np.int32) for column in (0 * label, document, label)))

    found = planted(task, bert, weekday_codes(), mentions=mentions)

    whole = tables([found], harvested(len(EXPERTS)), bert)
    sizes = {name: column.tolist() if name == "task" else column for name, column in whole["mention_sets"].items()}
    assert sizes == {"task": [1], "words": [210], "documents": [30], "report_words": [70], "report_documents": [10]}
    made = whole["mention_scores"]
    assert made["hypothesis"].tolist() == [0, 1] and set(made["expert"].tolist()) == {EXPERTS["ring"]}
    assert made["all_rows"][0] > 0.9 and made["order_supported"].tolist() == [True, False]


def test_mentions_that_there_are_too_few_of_are_absent_with_the_reason(made: Made) -> None:
    absent = made["absences"]
    assert list(zip(absent["name"], absent["what"], absent["reason"], strict=True)) == [("ring", "mentions", "There are none.")]


def test_reference_protocol_is_kept_beside_ours_and_changes_nothing_of_it(bert: LanguageModel, made: Made) -> None:
    config = replace(CONFIG, protocol="reference")

    found = tables([planted(task_of(), bert, weekday_codes(), config)], harvested(len(EXPERTS)), bert)

    assert found["reference_experts"]["expert"][0] == EXPERTS["ring"] and "reference_experts" not in made
    ring = found["reference_scores"]["expert"] == EXPERTS["ring"]
    assert found["reference_scores"]["mean"][ring][0] > 0.9
    for name, column in made["scores"].items():
        np.testing.assert_array_equal(found["scores"][name], column)


def test_preference_and_dependence_on_labels_stand_beside_the_task(made: Made) -> None:
    stats = made["task_stats"]
    of = dict(zip(stats["expert"].tolist(), range(len(stats["expert"])), strict=True))
    assert stats["p_label"][of[EXPERTS["ring"]]] == pytest.approx(1 / 201)
    assert stats["p_label"][of[EXPERTS["noise"]]] > 0.05
    label_stats = made["label_stats"]
    weekend = label_stats["expert"] == EXPERTS["weekend"]
    # It fires on two of seven days: 27 rows against 162, of which 27 are as loud.
    assert label_stats["preference"][weekend] == pytest.approx([1 - 27 / 162 / 2] * 2, abs=0.08)
    assert stats["preference_band"][of[EXPERTS["noise"]]] < 0.25


# Tables


def test_scores_stand_in_the_order_of_their_ranking_score(made: Made) -> None:
    for hypothesis in (0, 1):
        here = made["scores"]["hypothesis"] == hypothesis
        assert made["scores"]["rank"][here].tolist() == [0, 1, 2, 3]
        assert (np.diff(made["scores"]["ranking"][here]) <= 0).all()
    assert made["scores"]["expert"][0] == EXPERTS["ring"]


def test_active_rows_are_those_that_the_expert_fires_on(made: Made) -> None:
    counts = {name: int(active.sum()) for name, (active, _) in weekday_codes().items()}

    assert {name: score(made, name, "active_rows") for name in counts if counts[name]} == {
        "ring": 189,
        "weekend": 54,
        "five days": 135,
        "noise": 189,
    }


def test_an_expert_below_fifty_rows_is_not_probed(bert: LanguageModel) -> None:
    label = np.tile(np.arange(7), N_TEMPLATES)
    code = circle(label, np.random.default_rng(0), 7)
    codes = {str(n): (np.arange(len(label)) < n, code) for n in (49, 50)}

    assert planted(task_of(), bert, codes).sentences.experts.tolist() == [1]


def test_hypotheses_carry_their_family_and_its_rates(made: Made) -> None:
    hypotheses = made["hypotheses"]
    smallest = [np.nanmin(made["scores"]["p_order_adjusted"][made["scores"]["hypothesis"] == h]) for h in (0, 1)]

    assert hypotheses["testable"] == [3, 3]
    assert hypotheses["chance"] == [0.5, 0.5]
    assert hypotheses["shape"] == ["ring", "ordinal"]
    np.testing.assert_allclose(hypotheses["p_smallest"], smallest)
    low, high = sorted(smallest)
    by_hand = {low: min(2 * low, high), high: high}
    np.testing.assert_allclose(hypotheses["q"], [by_hand[p] for p in smallest])
    np.testing.assert_allclose(hypotheses["targets"][1], np.arange(7)[:, None])


def test_rates_over_hypotheses_decide_what_is_supported(bert: LanguageModel) -> None:
    """One ring among many hypotheses without any order: what was small alone may be no more than was to be expected."""
    task = task_of()
    result = planted(task, bert, weekday_codes())
    dull = _with_dull_hypotheses(result, 40)

    found = tables([dull], harvested(len(EXPERTS)), bert)

    assert found["hypotheses"]["p_smallest"][0] < 0.05 < found["hypotheses"]["q"][0]
    assert not found["scores"]["order_supported"].any()


def _with_dull_hypotheses(found: Found, n: int) -> Found:
    """The same ring, and as many hypotheses without any order."""
    first = found.sentences.tested[0]
    order = first.order._replace(p_adjusted=np.where(first.order.testable, 0.9, np.nan))
    tested = [first, *(replace(first, number=number, order=order) for number in range(1, n + 1))]
    return replace(
        found,
        sentences=replace(found.sentences, tested=tested),
        references=found.references[:1] * (n + 1),
        joint=found.joint[:1] * (n + 1),
    )


def test_references_stand_beside_every_hypothesis(made: Made) -> None:
    baselines = made["baselines"]

    rows = list(zip(baselines["hypothesis"], baselines["reference"], baselines["metric"], strict=True))
    both = ("all_rows", "left_out_label")
    expected = [("chance", "all_rows")] + [
        (r, m) for r in ("random_projection", "top_components", "word_embedding") for m in both
    ]
    assert sorted(rows) == sorted((h, *row) for h in (0, 1) for row in expected)
    assert np.isfinite(baselines["value"]).all()


def test_points_are_all_firings_as_contributions(made: Made) -> None:
    points, codes = made["points"], list(weekday_codes().values())

    expected = [(expert, row) for expert, (active, _) in enumerate(codes) for row in np.flatnonzero(active)]
    assert list(zip(points["expert"].tolist(), points["window"].tolist(), strict=True)) == expected
    code = np.array([codes[expert][1][row] for expert, row in expected])
    np.testing.assert_allclose(np.stack([points[axis] for axis in "xyz"], axis=1), 2 * code, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(points["norm"], np.linalg.norm(code, axis=1), rtol=1e-3)
    np.testing.assert_allclose(made["codes"]["code"], code, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(2 * made["codes"]["code"][:, 1], points["y"], rtol=1e-6)
    assert points["label"].tolist() == [row % 7 for _, row in expected]
    positions = made["windows"]["position"]
    assert points["position"].tolist() == [positions[row] for _, row in expected]


def test_importance_is_that_of_experts_that_rebuild_their_rows_exactly(made: Made) -> None:
    """Each reads and writes three numbers of its own, so that without a firing its code's square is left over."""
    codes = list(weekday_codes().values())
    rows = np.concatenate([np.where(active[:, None], code, 0.0) for active, code in codes], axis=1)
    squares = [(np.where(active[:, None], code, 0.0) ** 2).sum(axis=1) for active, code in codes]
    mean_square = ((rows - rows.mean(axis=0)) ** 2).sum() / len(rows)
    points, important = made["points"], made["task_importance"]

    expected = [squares[expert][row] for expert, row in zip(points["expert"], points["window"], strict=True)]
    np.testing.assert_allclose(points["importance"], np.array(expected) / mean_square, rtol=1e-4)
    # The silent one has no row.
    assert important["expert"].tolist() == list(range(len(codes) - 1))
    assert important["rows"].tolist() == [len(rows)] * (len(codes) - 1)
    np.testing.assert_allclose(important["importance"], [one.sum() / mean_square / len(rows) for one in squares[:-1]], rtol=1e-4)


def test_label_statistics_are_rates_lifts_and_means_per_label(made: Made) -> None:
    stats = made["label_stats"]
    rows = list(zip(stats["label"].tolist(), stats["expert"].tolist(), strict=True))
    codes = list(weekday_codes().values())
    rate = 100.5 / (CORPUS_TOKENS + 1)

    active_days = {0: range(7), 1: (5, 6), 2: range(5), 3: range(7), 4: ()}
    assert rows == sorted((day, expert) for expert, days in active_days.items() for day in days)
    assert set(stats["fires"]) == {1.0}
    np.testing.assert_allclose(stats["lift"], (27 + 20 * rate) / 47 / rate)
    for at, (day, expert) in enumerate(rows):
        mean = 2 * codes[expert][1][day::7].mean(axis=0)
        np.testing.assert_allclose([stats[axis][at] for axis in "xyz"], mean, rtol=1e-3, atol=1e-3)


def test_windows_hold_the_sentences_with_their_place(made: Made, result: Found) -> None:
    windows = made["windows"]

    assert windows["window"].tolist() == list(range(189))
    assert windows["tokens"].rows() == [one.token_ids for one in result.run.probed]
    assert windows["label"].tolist() == [row % 7 for row in range(189)]
    assert windows["template"].tolist() == [row // 7 for row in range(189)]
    # Every third group of three templates is the report set: templates 3-5, 12-14 and 21-23.
    report_templates = {template for template, report in zip(windows["template"], windows["report"], strict=True) if report}
    assert report_templates == {3, 4, 5, 12, 13, 14, 21, 22, 23}
    assert made["tasks"]["rows"] == [189] and made["tasks"]["dropped"] == [0]
    assert made["labels"]["rows"].tolist() == [27] * 7
    assert made["labels"]["name"] == list(DAYS)
    assert np.isnan(made["labels"]["training_occurrences"]).all()


def test_two_tasks_stand_one_behind_the_other(result: Found, bert: LanguageModel) -> None:
    other = planted(task_of(DAYS[:6], "other", "others"), bert, shorter(weekday_codes()))

    found = tables([result, other], harvested(len(EXPERTS)), bert)

    assert found["tasks"]["task"].tolist() == [1, 2]
    assert found["labels"]["task"].tolist() == [1] * 7 + [2] * 6
    assert isinstance(found["windows"]["tokens"], Ragged)
    assert found["windows"]["tokens"].rows() == [one.token_ids for run in (result.run, other.run) for one in run.probed]
    assert {name: len(column) for name, column in found["scores"].items()} == dict.fromkeys(found["scores"], 4 * 2 + 3 * 2)


def shorter(codes: Codes) -> Codes:
    """The codes of the first six days; the weekend's expert is left with too few rows."""
    keep = np.tile(np.arange(7), N_TEMPLATES) < 6
    return {name: (active[keep], code[keep]) for name, (active, code) in codes.items()}


def test_dictionary_that_never_fires_has_tables_all_the_same(bert: LanguageModel) -> None:
    silent = {name: (np.zeros_like(active), code) for name, (active, code) in weekday_codes().items()}

    found = tables([planted(task_of(), bert, silent)], harvested(len(EXPERTS), firings=0), bert)

    assert len(found["scores"]["expert"]) == len(found["points"]["expert"]) == len(found["task_importance"]["expert"]) == 0
    assert np.isnan(found["hypotheses"]["q"]).all()
    assert found["titles"]["title"][1:] == ["Silent"] * 4


# The stage


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A random dictionary for the tiny BERT."""
    return Checkpoint.load(tiny.checkpoint(tmp_path_factory.mktemp("checkpoint"), {}, threshold=1.5))


@pytest.fixture(scope="module")
def stage_task() -> Task:
    """A few templates of the months."""
    (months,) = (task for task in builtin_tasks() if task.name == "months")
    return replace(months, sentences=tuple(one for one in months.sentences if one.template % 2 == 0))


@pytest.fixture
def harvested_work(checkpoint: Checkpoint, bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> Path:
    """A work folder whose harvest is finished."""
    assert harvest(checkpoint, bert, [corpus], tmp_path, HarvestConfig(sample=20, top=4))
    return tmp_path


def test_probe_before_the_harvest_says_what_to_run(
    checkpoint: Checkpoint, bert: LanguageModel, stage_task: Task, tmp_path: Path
) -> None:
    with pytest.raises(StageMissing, match="holds no finished harvest. Run `atlas harvest`"):
        probe(checkpoint, bert, [stage_task], [], tmp_path, CONFIG)


def test_finished_probe_is_not_run_again_and_gives_the_same_each_time(
    checkpoint: Checkpoint, bert: LanguageModel, stage_task: Task, harvested_work: Path
) -> None:
    told: list[str] = []
    probe(checkpoint, bert, [stage_task], [], harvested_work, CONFIG, told.append)
    first = {name: (harvested_work / "probe" / name).read_bytes() for name in ("tables.safetensors", "tables.json", "done.json")}

    probe(checkpoint, bert, [stage_task], [], harvested_work, CONFIG, told.append)
    assert [line.partition(":")[0] for line in told] == ["Months", "Months"], "its lines are told once"
    assert (harvested_work / "probe" / "done.json").read_bytes() == first["done.json"]

    shutil.rmtree(harvested_work / "probe")
    probe(checkpoint, bert, [stage_task], [], harvested_work, CONFIG)
    assert {name: (harvested_work / "probe" / name).read_bytes() for name in list(first)[:2]} == {
        name: first[name] for name in list(first)[:2]
    }


def few_weekdays() -> Task:
    (weekdays,) = (task for task in builtin_tasks() if task.name == "weekdays")
    return replace(weekdays, sentences=tuple(one for one in weekdays.sentences if one.template % 2 == 0))


def test_another_task_costs_itself_alone_and_gives_what_both_give_at_once(
    checkpoint: Checkpoint, bert: LanguageModel, stage_task: Task, harvested_work: Path
) -> None:
    probe(checkpoint, bert, [stage_task], [], harvested_work, CONFIG)
    told: list[str] = []
    probe(checkpoint, bert, [stage_task, few_weekdays()], [], harvested_work, CONFIG, told.append)
    assert [line.partition(":")[0] for line in told] == ["Months", "Weekdays", "Weekdays"]
    assert told[0] == "Months: already probed" and told[2].endswith("rows are left out: what is probed lies beyond the window.")
    one_by_one = (harvested_work / "probe" / "tables.safetensors").read_bytes()

    shutil.rmtree(harvested_work / "probe")
    probe(checkpoint, bert, [stage_task, few_weekdays()], [], harvested_work, CONFIG)
    assert (harvested_work / "probe" / "tables.safetensors").read_bytes() == one_by_one


def test_stopped_probe_goes_on_behind_the_last_task_that_it_finished(
    checkpoint: Checkpoint, bert: LanguageModel, stage_task: Task, harvested_work: Path
) -> None:
    def stop(line: str) -> None:
        if line.startswith("Weekdays"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        probe(checkpoint, bert, [stage_task, few_weekdays()], [], harvested_work, CONFIG, stop)
    assert not (harvested_work / "probe" / "done.json").exists()

    left = unprobed(checkpoint, bert, [stage_task, few_weekdays()], [], harvested_work, CONFIG)
    assert left is not None and [task.name for task in left] == ["weekdays"]


@pytest.mark.parametrize("changed", ["seed", "task"])
def test_probe_of_other_inputs_is_made_anew(
    changed: str, checkpoint: Checkpoint, bert: LanguageModel, stage_task: Task, harvested_work: Path
) -> None:
    probe(checkpoint, bert, [stage_task], [], harvested_work, CONFIG)
    task, config = (stage_task, replace(CONFIG, seed=1)) if changed == "seed" else (replace(stage_task, title="Moons"), CONFIG)

    left = unprobed(checkpoint, bert, [task], [], harvested_work, config)
    probe(checkpoint, bert, [task], [], harvested_work, config)

    assert left == [task]
    assert finished(harvested_work, "probe").tables["tasks"]["title"] == [task.title]
    assert unprobed(checkpoint, bert, [task], [], harvested_work, config) is None


def test_task_that_turns_out_unusable_is_absent_and_the_others_go_on(
    checkpoint: Checkpoint, bert: LanguageModel, stage_task: Task, harvested_work: Path
) -> None:
    """All of its labels lie beyond the window, which only the model's tokens tell."""
    far = replace(few_weekdays(), sentences=(Sentence("far " * 200 + "Monday", 0, 0, 800, 806),))
    known = Absence("letter_case", "Letter case", "It needs capital letters.")

    unusable = probe(checkpoint, bert, [far, stage_task], [known], harvested_work, CONFIG)

    assert [one.name for one in unusable] == ["weekdays"]
    found = finished(harvested_work, "probe").tables
    assert found["tasks"]["name"] == ["months"] and found["absences"]["name"][:2] == ["letter_case", "weekdays"]
    assert "lie beyond the window" in found["absences"]["reason"][1]


def test_probe_of_another_dictionary_than_the_harvests_is_refused(
    bert: LanguageModel, stage_task: Task, harvested_work: Path, tmp_path: Path
) -> None:
    """Its lifts would be measured against the firing rates of other experts."""
    other = Checkpoint.load(tiny.checkpoint(tmp_path / "other", {}, threshold=1.5, seed=1))

    with pytest.raises(AtlasError, match="checkpoint"):
        probe(other, bert, [stage_task], [], harvested_work, CONFIG)


@pytest.mark.parametrize(
    ("kept", "said"), [({0, 3}, "2 groups that scores are fitted to and 0"), ({0, 1}, "1 groups that .* and 1 ")]
)
def test_rows_of_too_few_groups_are_no_task(kept: set[int], said: str, bert: LanguageModel) -> None:
    """Every third group is the report set, and a fit is tested on another group than it is made of."""
    task = task_of()
    rows = np.array([one.template // 3 in kept for one in task.sentences])
    few = replace(task, sentences=tuple(one for one, keep in zip(task.sentences, rows, strict=True) if keep))
    codes = {name: (active[rows], code[rows]) for name, (active, code) in weekday_codes().items()}

    with pytest.raises(TaskError, match=f"42 of 42 rows are left, in {said}"):
        planted(few, bert, codes)


def test_training_occurrences_are_counted_beside_the_weights(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    """Of letters, since a small vocabulary has few longer words whole."""
    (letters,) = (task for task in builtin_tasks() if task.name == "letters")
    letters = replace(letters, sentences=tuple(one for one in letters.sentences if one.template % 3 == 0))
    folder = tiny.checkpoint(tmp_path / "checkpoint", {}, threshold=1.5)
    counts = {"counts": np.arange(len(bert.embeddings)) + 5, "documents": np.zeros(0, dtype=np.uint64)}
    write_arrays(folder / TRAINED_ON_FILE, counts)
    counted = Checkpoint.load(folder)
    harvest(counted, bert, [corpus], tmp_path / "work", HarvestConfig(sample=20, top=4))

    probe(counted, bert, [letters], [], tmp_path / "work", CONFIG)

    found = finished(tmp_path / "work", "probe").tables["labels"]["training_occurrences"]
    ids = [bert.tokenizer.encode(label, add_special_tokens=False) for label in letters.labels]
    np.testing.assert_equal(found, [token[0] + 5.0 if len(token) == 1 else np.nan for token in ids])
    assert np.isfinite(found).any()
