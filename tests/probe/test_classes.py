"""Balanced accuracies equal slow ones, fitted expert by expert with scikit-learn run to convergence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from atlas.errors import TaskError
from atlas.probe import class_references
from atlas.probe.scores import Fired, Rows, batches, class_chance, class_scores
from atlas.probe.scores.newton import Problems, fit, standard_weights

N_LABELS = 8
EVEN = np.arange(N_LABELS) % 4
"""Four classes of two labels."""
UNEVEN = np.array([0, 0, 0, 0, 0, 0, 1, 1])
NAMES = ("ranking", "all_rows", "where_it_fires", "left_out_label")


def grid(n_templates: int = 18, n_labels: int = N_LABELS) -> Rows:
    fold = np.arange(n_templates) // 2
    return Rows(
        label=np.tile(np.arange(n_labels), n_templates),
        template=np.repeat(np.arange(n_templates), n_labels),
        fold=fold,
        report=fold % 3 == 1,
        n_labels=n_labels,
    )


def thinned(rows: Rows) -> Rows:
    """Labels differ in how many rows they have."""
    kept = np.random.default_rng(1).random(len(rows.label)) < 0.4 + 0.6 * rows.label / rows.n_labels
    return Rows(rows.label[kept], rows.template[kept], rows.fold, rows.report, rows.n_labels)


def stacked(*experts: tuple[np.ndarray, np.ndarray]) -> Fired:
    """Firings of experts, each given by the rows it fires on and its codes of all rows; shuffled."""
    row = np.concatenate([np.flatnonzero(active) for active, _ in experts])
    expert = np.concatenate([np.full(active.sum(), number) for number, (active, _) in enumerate(experts)])
    code = np.concatenate([code[active] for active, code in experts])
    order = np.random.default_rng(0).permutation(len(row))
    return Fired(row[order], expert[order], code[order])


def some_experts(rows: Rows) -> Fired:
    """Experts that tell labels well, badly and in part, on all rows, some, those of a few labels, of one group, or of none."""
    rng = np.random.default_rng(0)
    n = len(rows.label)
    place = rng.standard_normal((rows.n_labels, 3))
    tight, loose = (place[rows.label] + noise * rng.standard_normal((n, 3)) for noise in (0.3, 1.5))
    group, report = rows.fold[rows.template], rows.report[rows.template]
    return stacked(
        (np.ones(n, dtype=bool), tight),
        (rng.random(n) < 0.6, loose),
        (rng.random(n) < 0.2 + 0.6 * rows.label / rows.n_labels, 100 * tight - 300),
        (np.isin(rows.label, [0, 2, 3]), loose),
        (np.isin(rows.label, [1, 5]) & (rng.random(n) < 0.8), loose),
        (group == 0, tight),
        (report, tight),
        ((rows.label == 3) | ((rows.label == 6) & (group == 2)), tight),
        (rng.random(n) < 0.5, np.column_stack([loose[:, :2], np.full(n, 2.5)])),
        (np.zeros(n, dtype=bool), tight),
    )


N_EXPERTS = 10


# The slow way


def slow_told(rows: Rows, fired: Fired, expert: int, classes: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Each test row's class, by one fit to the active training rows and a rule for the silent ones."""
    mine = fired.expert == expert
    code, active = np.zeros((len(classes), 3)), np.zeros(len(classes), dtype=bool)
    code[fired.row[mine]], active[fired.row[mine]] = fired.code[mine], True
    seen = sorted(set(classes[train]))
    silent = train & ~active if (train & ~active).any() else train
    shares = [(silent & (classes == k)).sum() / (train & (classes == k)).sum() for k in seen]
    told = np.full(len(classes), seen[int(np.argmax(shares))])
    fitted = set(classes[train & active])
    if len(fitted) == 1:
        told[active] = fitted.pop()
    elif fitted:
        weight = {k: train.sum() / len(seen) / (train & (classes == k)).sum() for k in seen}
        standard = StandardScaler().fit(code[train & active])
        model = LogisticRegression(class_weight={k: weight[k] for k in fitted}, tol=1e-10, max_iter=100_000)
        model.fit(standard.transform(code[train & active]), classes[train & active])
        told[active] = model.predict(standard.transform(code[active]))
    return told[test]


def balanced(truth: np.ndarray, told: np.ndarray) -> float:
    return float(np.mean([(told[truth == k] == k).mean() for k in np.unique(truth)])) if len(truth) > 1 else np.nan


def slow_scores(rows: Rows, fired: Fired, expert: int, classes: np.ndarray) -> dict[str, float]:
    report = rows.report[rows.template]
    fold = rows.fold[rows.template]
    tests = {
        "ranking": [~report & (fold == f) for f in np.unique(fold[~report])],
        "left_out_label": [report & (rows.label == label) for label in range(rows.n_labels)],
    }
    without = {
        "ranking": [fold == f for f in np.unique(fold[~report])],
        "left_out_label": [rows.label == label for label in range(rows.n_labels)],
    }
    found = {}
    for name in tests:
        told = classes.copy()
        for test, less in zip(tests[name], without[name], strict=True):
            told[test] = slow_told(rows, fired, expert, classes, ~report & ~less, test)
        measured = np.any(tests[name], axis=0)
        found[name] = balanced(classes[measured], told[measured])
    told = slow_told(rows, fired, expert, classes, ~report, report)
    active = np.isin(np.flatnonzero(report), fired.row[fired.expert == expert])
    found["all_rows"] = balanced(classes[report], told)
    found["where_it_fires"] = balanced(classes[report][active], told[active])
    return found


@pytest.mark.parametrize("class_of_label", [EVEN, UNEVEN], ids=["four", "two"])
def test_score_equals_a_fit_of_each_expert_alone(class_of_label: np.ndarray) -> None:
    rows = thinned(grid())
    fired, classes = some_experts(rows), class_of_label[rows.label]

    found = class_scores(rows, fired, N_EXPERTS, classes, int(class_of_label.max()) + 1, seed=0)

    slow = [slow_scores(rows, fired, expert, classes) for expert in range(N_EXPERTS)]
    for name in NAMES:
        expected = [one[name] for one in slow]
        np.testing.assert_allclose(getattr(found, name), expected, atol=1e-12, err_msg=name)
        assert np.nanmax(expected) - np.nanmin(expected) > 0.2
    report = rows.report[rows.template]
    assert found.n_where_it_fires.tolist() == [int(report[fired.row[fired.expert == e]].sum()) for e in range(N_EXPERTS)]


def test_class_may_be_of_the_row_and_not_of_its_label() -> None:
    rows = grid()
    fired = some_experts(rows)
    classes = np.random.default_rng(3).integers(0, 3, len(rows.label))

    found = class_scores(rows, fired, N_EXPERTS, classes, 3, seed=0)

    for expert in range(3):
        slow = slow_scores(rows, fired, expert, classes)
        assert [getattr(found, name)[expert] for name in NAMES] == pytest.approx([slow[name] for name in NAMES], abs=1e-12)


def test_scores_do_not_depend_on_how_experts_are_cut_into_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = thinned(grid())
    fired, classes = some_experts(rows), EVEN[rows.label]
    expected = class_scores(rows, fired, N_EXPERTS, classes, 4, seed=0)

    monkeypatch.setattr(batches, "BLOCK_NUMBERS", 1)
    found = class_scores(rows, fired, N_EXPERTS, classes, 4, seed=0)

    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_detector_of_the_weekend_alone_tells_it_from_the_week_on_all_rows() -> None:
    rows = grid(n_labels=7)
    weekend = (rows.label >= 5).astype(np.int64)
    code = np.random.default_rng(0).standard_normal((len(rows.label), 3))

    found = class_scores(rows, stacked((weekend == 1, code), (weekend == 0, code)), 2, weekend, 2, seed=0)

    for name in (*NAMES, "all_rows_low", "all_rows_high"):
        assert getattr(found, name) == pytest.approx(1), name


def test_codes_without_classes_tell_about_as_many_as_guessing() -> None:
    rows = grid(60)
    rng = np.random.default_rng(0)
    n = len(rows.label)
    fired = stacked(*((rng.random(n) < 0.7, rng.standard_normal((n, 3))) for _ in range(20)))

    found = class_scores(rows, fired, 20, UNEVEN[rows.label], 2, seed=0)

    for name in NAMES:
        assert abs(getattr(found, name).mean() - 0.5) < 0.06


def test_expert_that_never_fires_tells_the_first_class_of_every_row() -> None:
    rows = thinned(grid())
    nothing = Fired(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((0, 3)))

    found = class_scores(rows, nothing, 2, EVEN[rows.label], 4, seed=0)

    for name in ("ranking", "all_rows", "all_rows_low", "all_rows_high"):
        assert getattr(found, name) == pytest.approx(0.25), name
    assert np.isnan(found.where_it_fires).all() and found.n_where_it_fires.tolist() == [0, 0]


def test_silent_row_is_told_the_class_that_is_silent_most_often_and_not_the_largest() -> None:
    """Six labels of eight are of class 0, half of whose rows are silent; four fifths of class 1 are."""
    rows = grid(30)
    silent = np.where(UNEVEN[rows.label] == 0, rows.template % 2 == 0, rows.template % 5 > 0)

    found = class_scores(rows, stacked((~silent, np.ones((len(silent), 1)))), 1, UNEVEN[rows.label], 2, seed=0)

    report = rows.report[rows.template]
    # Codes that are all the same are told the class that fires more often, for all that it is the larger.
    expected = [(~silent)[report & (UNEVEN[rows.label] == 0)].mean(), silent[report & (UNEVEN[rows.label] == 1)].mean()]
    assert found.all_rows[0] == pytest.approx(np.mean(expected))


def test_interval_is_the_bootstrap_over_report_templates() -> None:
    rows = thinned(grid(36))
    fired, classes = some_experts(rows), UNEVEN[rows.label]

    found = class_scores(rows, fired, N_EXPERTS, classes, 2, seed=0)

    report = rows.report[rows.template]
    rng = np.random.default_rng(99)
    templates = np.flatnonzero(rows.report)
    drawn = [rng.choice(templates, len(templates)) for _ in range(1500)]
    of_template = [np.flatnonzero(rows.template[report] == t) for t in range(len(rows.report))]
    for expert in (1, 2, 8):
        told, truth = slow_told(rows, fired, expert, classes, ~report, report), classes[report]
        picks = (np.concatenate([of_template[t] for t in some]) for some in drawn)
        low, high = np.quantile([balanced(truth[pick], told[pick]) for pick in picks], [0.025, 0.975])
        assert found.all_rows_low[expert] == pytest.approx(low, abs=0.15 * (high - low))
        assert found.all_rows_high[expert] == pytest.approx(high, abs=0.15 * (high - low))
        assert high - low > 0.05


def test_left_out_label_is_computed_of_the_experts_that_are_named() -> None:
    rows = grid()
    fired, classes = some_experts(rows), EVEN[rows.label]
    named = np.arange(N_EXPERTS) % 3 == 1

    found = class_scores(rows, fired, N_EXPERTS, classes, 4, 0, named)

    expected = class_scores(rows, fired, N_EXPERTS, classes, 4, 0).left_out_label
    np.testing.assert_allclose(found.left_out_label[named], expected[named], atol=1e-12)
    assert np.isnan(found.left_out_label[~named]).all() and not np.isnan(expected).any()


@pytest.mark.parametrize("class_of_label", [np.arange(8), np.array([0, 0, 0, 0, 0, 0, 0, 1])], ids=["each its own", "one of one"])
def test_left_out_label_needs_two_classes_of_two_labels(class_of_label: np.ndarray) -> None:
    rows = grid()

    found = class_scores(rows, some_experts(rows), N_EXPERTS, class_of_label[rows.label], 8, seed=0)

    assert np.isnan(found.left_out_label).all() and not np.isnan(found.all_rows).any()


def test_too_many_classes_and_too_few_are_refused() -> None:
    rows = grid()
    classes = np.zeros(len(rows.label), dtype=np.int64)

    with pytest.raises(TaskError, match="5,000 classes are more than the 64"):
        class_scores(rows, some_experts(rows), N_EXPERTS, EVEN[rows.label], 5000, seed=0)
    with pytest.raises(TaskError, match="Fewer than two classes"):
        class_scores(rows, some_experts(rows), N_EXPERTS, classes, 4, seed=0)


# Fits


def test_fit_is_where_the_objective_is_flat_however_badly_classes_lie() -> None:
    """Separable, of two rows, of one class, overlapping, far apart in scale, with an absent class, and of constant features."""
    rng = np.random.default_rng(0)
    n, n_classes = 40, 4
    class_of = rng.integers(0, n_classes, (8, n))
    feature = rng.standard_normal((8, n, 3))
    feature[0] += 50 * class_of[0][:, None]
    class_of[1, 2:], class_of[1, :2] = -1, [0, 3]
    class_of[2] = 2
    feature[4] *= [1e-8, 1, 1e8]
    class_of[5] %= 3
    feature[6] = [1.0, -2.0, 0.0]
    feature[7, 0] = 1e5
    group = rng.integers(0, 3, (8, n))
    weight = rng.uniform(0.2, 5, (8, 3, n_classes))

    found = fit(Problems(feature, np.zeros((8, 3)), class_of, group), 3, weight)

    for unit in range(8):
        for number in range(3):
            used = (class_of[unit] >= 0) & (group[unit] != number)
            present = np.unique(class_of[unit][used])
            assert np.flatnonzero(found.present[unit, number]).tolist() == present.tolist()
            if len(present) < 2:
                assert len(present) == 0 or not found.weight[unit, number].any()
                continue
            # Gradients by hand, of weights of standardised features; of two classes by logistic regression.
            scaler = StandardScaler().fit(feature[unit][used])
            x, y = scaler.transform(feature[unit][used]), class_of[unit][used]
            standard = found.weight[unit, number][present][:, :3] * scaler.scale_
            logit = x @ standard.T + found.weight[unit, number][present] @ np.append(scaler.mean_, 1)
            chance = np.exp(logit - logit.max(axis=1, keepdims=True))
            chance /= chance.sum(axis=1, keepdims=True)
            excess = (chance - (y[:, None] == present)) * weight[unit, number][y][:, None]
            slope = excess.T @ x + (2 if len(present) == 2 else 1) * standard
            assert np.abs(slope).max() < 1e-6 and np.abs(excess.sum(axis=0)).max() < 1e-6, (unit, number)


def test_fit_ends_where_its_features_are_little_more_than_rounding() -> None:
    """One row lies so far out that the others differ by 10⁻⁵ of its distance; the fold without it has only those."""
    rng = np.random.default_rng(0)
    n_units, n = 60, 42
    uneven = rng.standard_normal((n_units, 5, 5)) * [1, 0.3, 0.02, 0.5, 0.1]
    feature = 1e-5 * rng.standard_normal((n_units, n, 5)) @ uneven
    feature[:, 0] += rng.choice([-1.0, 1.0], (n_units, 5))
    feature = (feature - feature.mean(axis=1, keepdims=True)) / feature.std(axis=1, keepdims=True)
    class_of, group = rng.integers(0, 2, (n_units, n)), np.tile(np.arange(n) // 6, (n_units, 1))

    found = fit(Problems(feature, np.zeros((n_units, 5)), class_of, group), 1, np.ones((n_units, 1, 2)))

    for unit in range(n_units):
        x, y = feature[unit][group[unit] > 0], class_of[unit][group[unit] > 0]
        weight = found.weight[unit, 0, 1] - found.weight[unit, 0, 0]
        excess = 1 / (1 + np.exp(-(x @ weight[:-1] + weight[-1]))) - y
        slope = excess @ ((x - x.mean(axis=0)) / x.std(axis=0)) + weight[:-1] * x.std(axis=0)
        assert np.abs(slope).max() < 1e-4 and abs(excess.sum()) < 1e-4


def test_fit_does_not_depend_on_where_it_starts() -> None:
    rng = np.random.default_rng(0)
    class_of, group = rng.integers(0, 3, (5, 60)), rng.integers(0, 4, (5, 60))
    feature = rng.standard_normal((5, 60, 2)) + class_of[..., None]
    problems = Problems(feature, np.zeros((5, 2)), class_of, group)
    whole = fit(problems._replace(group=np.full_like(group, -1)), 1, np.ones((5, 1, 3)))

    cold, warm = fit(problems, 4, np.ones((5, 4, 3))), fit(problems, 4, np.ones((5, 4, 3)), whole)

    np.testing.assert_allclose(warm.weight, cold.weight, atol=1e-7)
    assert np.abs(cold.weight - whole.weight).max() > 0.05


def test_weights_make_classes_weigh_the_same() -> None:
    weight = standard_weights(np.array([[10, 30, 0], [0, 0, 0]]))

    np.testing.assert_allclose(weight, [[2, 2 / 3, 0], [0, 0, 0]])


# Chance and references


def test_chance_of_four_clusters_in_three_dimensions_is_certainty() -> None:
    """Any two groups of d + 1 points in general position can be told apart by a plane, if rows are many."""
    assert class_chance(np.array([0, 0, 1, 1]), 2, 3, seed=0) > 0.97


@pytest.mark.parametrize(
    ("class_of_label", "d_code"), [(np.arange(12) // 3, 3), (np.arange(30) % 2, 2)], ids=["seasons", "parity"]
)
def test_chance_equals_fits_to_random_clusters(class_of_label: np.ndarray, d_code: int) -> None:
    n_classes = int(class_of_label.max()) + 1
    rng = np.random.default_rng(1)
    reached = []
    for _ in range(60):
        place = rng.standard_normal((len(class_of_label), d_code))
        rows = np.repeat(place, 30, axis=0)
        model = LogisticRegression(class_weight="balanced", tol=1e-8, max_iter=10_000)
        model.fit(StandardScaler().fit_transform(rows), np.repeat(class_of_label, 30))
        reached.append(balanced(class_of_label, model.predict(StandardScaler().fit(rows).transform(place))))

    found = class_chance(class_of_label, n_classes, d_code, seed=0)

    assert found == pytest.approx(np.mean(reached), abs=4 * np.std(reached) / np.sqrt(45))
    assert 1 / n_classes + 0.05 < found < 0.95


WIDTH = 10


def vectors(rows: Rows, seed: int, noise: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    place = rng.standard_normal((rows.n_labels, WIDTH))
    return (place[rows.label] + noise * rng.standard_normal((len(rows.label), WIDTH))).astype(np.float32)


def of_unit(rows: Rows, code: np.ndarray, classes: np.ndarray) -> Any:
    """Slow scores of a unit that is active on every row."""
    fired = Fired(np.arange(len(code)), np.zeros(len(code), dtype=np.int64), code.astype(np.float64))
    return slow_scores(rows, fired, 0, classes)


def test_top_components_are_those_of_the_ranking_rows() -> None:
    rows = grid()
    classes = EVEN[rows.label]
    report = rows.report[rows.template]
    x = vectors(rows, 0, noise=0.3) * np.linspace(3, 0.5, WIDTH, dtype=np.float32)
    # What is wide in the report rows alone must not count.
    x[report, -1] += 6 * np.random.default_rng(1).standard_normal(report.sum()).astype(np.float32)

    found = class_references.top_components(rows, x, classes, 4, 3, seed=0)

    training = x[~report].astype(np.float64)
    axes = np.linalg.svd(training - training.mean(axis=0))[2][:3]
    slow = of_unit(rows, (x - training.mean(axis=0)) @ axes.T, classes)
    assert found == pytest.approx({name: slow[name] for name in ("all_rows", "left_out_label")})
    assert found["all_rows"] > 0.4


def test_random_projection_is_the_one_that_ranks_best_of_those_that_predict_best(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = grid()
    classes = EVEN[rows.label]
    x = vectors(rows, 0)
    monkeypatch.setattr(class_references, "N_CANDIDATES", 3)
    monkeypatch.setattr(class_references, "n_draws", lambda _: 1)
    # Blocks of four projections.
    monkeypatch.setattr("atlas.probe.references.BLOCK_CODES", 4 * len(x))

    found = class_references.best_random_projection(rows, x, classes, 4, 10, 3, seed=7)

    directions = np.random.default_rng(7).standard_normal((30, WIDTH), dtype=np.float32)
    codes = [x @ directions[3 * i : 3 * i + 3].T for i in range(10)]
    report, fold = rows.report[rows.template], rows.fold[rows.template]

    def r2(code: np.ndarray) -> float:
        design = np.column_stack([code, np.ones(len(code))]).astype(np.float64)
        truth = np.eye(4)[classes]
        error = spread = 0.0
        for f in np.unique(fold[~report]):
            train, test = ~report & (fold != f), ~report & (fold == f)
            weights = np.linalg.lstsq(design[train], truth[train], rcond=None)[0]
            error += ((truth - design @ weights)[test] ** 2).sum()
            spread += ((truth - truth[train].mean(axis=0))[test] ** 2).sum()
        return 1 - error / spread

    best_three = sorted(codes, key=r2, reverse=True)[:3]
    best = max((of_unit(rows, code, classes) for code in best_three), key=lambda slow: slow["ranking"])
    assert found == pytest.approx({name: best[name] for name in ("all_rows", "left_out_label")})


def test_word_embedding_names_known_labels_and_tells_a_class_only_if_it_holds_it() -> None:
    rows = grid()
    classes = EVEN[rows.label]
    rng = np.random.default_rng(0)
    named = rng.standard_normal((N_LABELS, 40))[rows.label]
    held = (rng.standard_normal((4, 40))[EVEN] + 0.1 * rng.standard_normal((N_LABELS, 40)))[rows.label]

    without, holding = (class_references.word_embedding(rows, embedding, classes, 4) for embedding in (named, held))

    assert without["all_rows"] == holding["all_rows"] == 1
    assert without["left_out_label"] < 0.6
    assert holding["left_out_label"] == 1


def test_word_embedding_is_weighted_ridge_regression_of_indicators() -> None:
    rows = thinned(grid())
    classes = UNEVEN[rows.label]
    rng = np.random.default_rng(0)
    embedding = rng.standard_normal((N_LABELS, 3))[rows.label] + 0.8 * rng.standard_normal((len(rows.label), 3))

    found = class_references.word_embedding(rows, embedding, classes, 2)

    report = rows.report[rows.template]
    ranking = embedding[~report]
    features = np.column_stack([(embedding - ranking.mean(axis=0)) / ranking.std(axis=0), np.ones(len(embedding))])

    def told(train: np.ndarray) -> np.ndarray:
        root = np.sqrt(train.sum() / 2 / np.bincount(classes[train]))[classes[train], None]
        # A penalty of 1 is one more row per feature, with a target of zero.
        design = np.vstack([root * features[train], np.eye(3, 4)])
        aim = np.vstack([root * np.eye(2)[classes[train]], np.zeros((3, 2))])
        return (features @ np.linalg.lstsq(design, aim, rcond=None)[0]).argmax(axis=1)

    left = classes.copy()
    for label in range(N_LABELS):
        this = rows.label == label
        left[this] = told(~report & ~this)[this]
    assert found["all_rows"] == pytest.approx(balanced(classes[report], told(~report)[report]))
    assert found["left_out_label"] == pytest.approx(balanced(classes[report], left[report]))
    assert found["all_rows"] < 1
