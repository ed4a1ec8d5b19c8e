from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from forging import with_rows_changed

from atlas.store.schema import VIEWS, schema_columns
from atlas.verify.database import verify_database
from atlas.verify.report import Fault
from synthetic import Size, write_synthetic

PLANTED = {
    "DELETE FROM experts WHERE expert = 23": ("agreement", "experts, n_experts", "as many rows"),
    "UPDATE tasks SET held_out_tokens = tokens + 1 WHERE task = 0": ("value", "tasks, task 0", "held_out_tokens"),
    "DELETE FROM tasks WHERE task = 6": ("reference", "labels, task 6", "no row of tasks"),
    "UPDATE labels SET rows = 11 WHERE task = 2 AND label = 3": ("agreement", "labels, task 2, label 3", "windows have"),
    "UPDATE labels SET label = 40 WHERE task = 2 AND label = 11": ("number", "labels, task 2", "without a gap"),
    "UPDATE hypotheses SET q = 2 WHERE task = 2 AND hypothesis = 0": ("value", "hypotheses, task 2, hypothesis 0", "q <= 1"),
    'UPDATE windows SET tokens = [1, 2] WHERE task = 0 AND "window" = 4': (
        "agreement",
        "points, task 0",
        "outside of its window",
    ),
    'UPDATE windows SET position = 99 WHERE task = 2 AND "window" = 4': ("value", "windows, task 2, window 4", "position"),
    'DELETE FROM windows WHERE task = 1 AND "window" = 29': ("reference", "points, task 1, window 29", "no row of windows"),
    "DELETE FROM vocabulary WHERE task = 3 AND token = 2007": ("agreement", "windows, task 3, token 2007", "no text"),
    "INSERT INTO vocabulary FROM vocabulary WHERE task = 0 AND token = 5": (
        "key",
        "vocabulary, task 0, token 5",
        "more than one",
    ),
    "UPDATE expert_stats SET firings = firings + 1 WHERE task = 0 AND expert = 1": (
        *("agreement", "expert_stats, task 0, expert 1"),
        "rate is not firings",
    ),
    "UPDATE expert_stats SET rate = 'nan' WHERE task = 0 AND expert = 5": (
        "number",
        "expert_stats, task 0, expert 5",
        "not finite",
    ),
    "UPDATE expert_stats SET norm_q50 = 99 WHERE task = 0 AND expert = 2": (
        "value",
        "expert_stats, task 0, expert 2",
        "norm_q50",
    ),
    "UPDATE expert_stats SET silent = true WHERE task = 1 AND expert = 2": (
        "agreement",
        "expert_stats, task 1, expert 2",
        "silent",
    ),
    "UPDATE expert_stats SET mean_code = [0.0] WHERE task = 1 AND expert = 6": (
        *("agreement", "expert_stats, task 1, expert 6"),
        "as many numbers",
    ),
    "UPDATE expert_stats SET dimensions_needed = 3 WHERE task = 1 AND expert = 5": (
        *("agreement", "expert_stats, task 1, expert 5"),
        "dimensions_needed",
    ),
    "UPDATE points SET norm = 0.5 WHERE rowid = 3": ("agreement", "points, task 0, expert 0", "does not pass the threshold"),
    "UPDATE points SET norm = 900 WHERE rowid = 4": ("agreement", "points, task 0, expert 0", "above the expert's largest"),
    "UPDATE points SET position = 7000 WHERE rowid = 5": ("agreement", "points, task 0, expert 0", "outside of its window"),
    "UPDATE points SET expert = 77 WHERE rowid = 6": ("reference", "points, expert 77", "no row of experts"),
    "UPDATE points SET x = 'inf' WHERE rowid = 7": ("number", "points, task 0, expert 0", "x is not finite"),
    "UPDATE points SET label = 5 WHERE task = 2 AND expert = 0 AND label = 1": (
        "agreement",
        "points, task 2, expert 0",
        "not of the label",
    ),
    "UPDATE points SET x = x + 1 WHERE task = 2 AND expert = 8": (
        "agreement",
        "label_stats, task 2",
        "expert 8: it does not say",
    ),
    "UPDATE top_firings SET norm = 900 WHERE expert = 4 AND rank = 2 AND stratum = 'top'": (
        *("agreement", "top_firings, task 0, expert 4, top 2"),
        "not between",
    ),
    "UPDATE top_firings SET norm = 1.5 WHERE task = 0 AND expert = 6 AND stratum = 'top' AND rank = 9": (
        *("agreement", "top_firings, task 0, expert 6, top 10"),
        "order of their norms",
    ),
    "DELETE FROM top_firings WHERE task = 0 AND expert = 2 AND stratum = 'q50' AND rank = 3": (
        *("number", "top_firings, task 0, expert 2, stratum q50"),
        "without a gap",
    ),
    "UPDATE top_firings SET around = [9] WHERE task = 1 AND expert = 0 AND rank = 1": (
        "value",
        "top_firings, task 1, expert 0",
        "len(around)",
    ),
    "UPDATE expert_tokens SET share = 0.9 WHERE task = 0 AND expert = 0 AND rank = 0": (
        "value",
        "expert_tokens, task 0, expert 0",
        "share",
    ),
    "UPDATE expert_tokens SET token = 99999 WHERE task = 0 AND expert = 1 AND rank = 0": (
        *("reference", "expert_tokens, task 0, token 99999"),
        "vocabulary",
    ),
    'UPDATE norm_histogram SET "count" = "count" + 1 WHERE task = 0 AND expert = 9': (
        *("agreement", "norm_histogram, task 0, expert 9"),
        "counts of its bins",
    ),
    "UPDATE norm_histogram SET lower = 1 WHERE task = 0 AND expert = 10": (
        "agreement",
        "norm_histogram, task 0, expert 10",
        "lower",
    ),
    "UPDATE position_rates SET firings = firings + 1 WHERE task = 0 AND expert = 12 AND lower = 0": (
        *("agreement", "position_rates, task 0, expert 12"),
        "firings at all places",
    ),
    "UPDATE co_firing SET tokens = 999999999 WHERE task = 0 AND expert = 2 AND rank = 0": (
        "agreement",
        "co_firing, task 0, expert 2",
        "both fire",
    ),
    "UPDATE token_sample SET position = 64 WHERE task = 0 AND token = 7": (
        "agreement",
        "token_sample, task 0, token 7",
        "outside",
    ),
    "UPDATE token_sample_firings SET code = [0.1, 0.1, 0.1] WHERE rowid = 0": (
        "agreement",
        "token_sample_firings, task 0, token 0",
        "threshold",
    ),
    "UPDATE mentions SET position = -1 WHERE task = 0 AND mention = 1": ("agreement", "mentions, task 0, mention 1", "outside"),
    "UPDATE mention_firings SET code = [4.0] WHERE rowid = 0": ("agreement", "mention_firings, task 0, mention 0", "d_code"),
    "UPDATE label_mentions SET mentions = 0, held_out = 0, documents = 0": (
        "agreement",
        "label_mentions, task 0",
        "fewer mentions",
    ),
    "UPDATE scores SET p_order = 0 WHERE task = 2 AND hypothesis = 0 AND expert = 0": (
        *("value", "scores, task 2, hypothesis 0, expert 0"),
        "p_order > 0",
    ),
    "UPDATE scores SET ranking = 7 WHERE task = 3 AND hypothesis = 0 AND rank = 5": (
        "agreement",
        "scores, task 3, hypothesis 0",
        "ranking score",
    ),
    "UPDATE scores SET covered = 300 WHERE task = 3 AND hypothesis = 0 AND expert = 1": (
        "agreement",
        "scores, task 3",
        "covered",
    ),
    "UPDATE mention_scores SET all_rows_low = 2 WHERE expert = 0": (
        "value",
        "mention_scores, task 2, hypothesis 0, expert 0",
        "all_rows_low",
    ),
    "DELETE FROM mention_sets": ("reference", "mention_scores, task 2", "no row of mention_sets"),
    "UPDATE baselines SET hypothesis = 9 WHERE task = 3": (
        "reference",
        "baselines, task 3, hypothesis 9",
        "no row of hypotheses",
    ),
    "UPDATE task_stats SET active_rows = active_rows + 1 WHERE task = 2": ("agreement", "task_stats, task 2", "active_rows"),
    "UPDATE label_stats SET fires = 0.5 WHERE task = 3 AND expert = 1": ("agreement", "label_stats, task 3", "fires is not"),
    "UPDATE task_importance SET importance = 9 WHERE task = 4 AND expert = 4": (
        "agreement",
        "task_importance, task 4, expert 4",
        "sum",
    ),
    "UPDATE shattered SET expert = 99 WHERE step = 0": ("reference", "shattered, expert 99", "no row of experts"),
    "UPDATE newline_scores SET periodic_gain = 3 WHERE rank = 0": ("value", "newline_scores, task 6", "periodic_gain"),
    "UPDATE code_axes SET share = 0.7 WHERE expert = 3 AND axis = 0": ("agreement", "code_axes, expert 3, axis 0", "share"),
    "DELETE FROM code_axes WHERE expert = 4 AND axis = 2": ("agreement", "code_axes, expert 4", "d_code axes"),
    "UPDATE shapes SET spectrum = [0.9, 0.9] WHERE task = 0 AND expert = 0": ("value", "shapes, task 0, expert 0", "spectrum"),
    "UPDATE shapes SET class = 'ring' WHERE task = 0 AND expert = 1": (
        "agreement",
        "shape_classes, task 0, ring",
        "table shapes",
    ),
    "UPDATE shape_tests SET p = 1.5 WHERE task = 0 AND expert = 0 AND statistic = 'gap'": (
        "value",
        "shape_tests, task 0, expert 0",
        "p <= 1",
    ),
    "UPDATE neighbours SET neighbour = 500 WHERE expert = 1 AND rank = 0": (
        "reference",
        "neighbours, neighbour 500",
        "no row of experts",
    ),
    "UPDATE overview SET cluster = 9 WHERE expert = 0": ("reference", "overview, cluster 9", "no row of overview_clusters"),
    "UPDATE overview_clusters SET named = experts + 1 WHERE cluster = 1": ("value", "overview_clusters, cluster 1", "named"),
    "UPDATE titles SET value = 0.123 WHERE expert = 8": ("agreement", "titles, expert 8", "no score"),
    "UPDATE titles SET basis = 'order', task = 3 WHERE expert = 2": ("agreement", "titles, expert 2", "no score supports"),
    "UPDATE evaluation SET task = 50 WHERE rowid = 0": ("reference", "evaluation, task 50", "no row of tasks"),
    "UPDATE prompt_norms SET norms = [3.0] WHERE prompt = 0 AND expert = 0": (
        "agreement",
        "prompt_norms, prompt 0, expert 0",
        "one norm for each",
    ),
    "DELETE FROM prompts WHERE prompt = 1": ("reference", "prompt_tokens, prompt 1", "no row of prompts"),
    "UPDATE provenance SET value = '{' WHERE key = 'versions'": ("value", "provenance, key versions", "json_valid"),
    "DELETE FROM provenance WHERE key = 'model'": ("agreement", "provenance, model", "is missing"),
}
"""What is changed in a table whose hash is written down anew, and the fault that tells of it: its kind, where, and what."""


def faults_of(path: Path) -> list[Fault]:
    return [fault for check in verify_database(path, lambda _: None) for fault in check.faults]


@pytest.mark.parametrize("size", [Size(experts=12, d_code=1), Size(experts=12, d_code=2), Size(experts=12, d_code=5)], ids=str)
def test_a_sound_atlas_has_no_fault(size: Size, tmp_path: Path) -> None:
    assert faults_of(write_synthetic(tmp_path / "atlas.duckdb", size=size)) == []


def test_two_corpora_and_every_task_have_none(sound: Path) -> None:
    assert faults_of(sound) == []


def test_a_change_in_any_table_is_told_by_its_hash(sound: Path, tmp_path: Path) -> None:
    changed, statements = [], []
    with duckdb.connect(str(sound), read_only=True) as connection:
        for table, columns in schema_columns().items():
            if table in (*VIEWS, "run_log", "contents") or not connection.table(table).limit(1).fetchall():
                continue
            column, kind = [(name, kind) for name, kind in columns.items() if not kind.endswith("[]")][-1]
            other = {"VARCHAR": f"coalesce(\"{column}\", '') || 'x'", "BOOLEAN": f'NOT coalesce("{column}", false)'}
            value = other.get(kind, f'coalesce("{column}", 0) + 1')
            statements.append(f'UPDATE {table} SET "{column}" = {value} WHERE rowid = (SELECT min(rowid) FROM {table})')
            changed.append(table)

    found = faults_of(with_rows_changed(sound, tmp_path / "changed.duckdb", *statements, recorded=False))

    assert {fault.where for fault in found if fault.kind == "contents"} == set(changed)


def test_a_row_that_is_gone_is_told_with_the_number_of_rows(sound: Path, tmp_path: Path) -> None:
    damaged = with_rows_changed(sound, tmp_path / "less.duckdb", "DELETE FROM training_log WHERE rowid = 5", recorded=False)

    (fault,) = faults_of(damaged)

    assert (fault.kind, fault.where) == ("contents", "training_log")
    assert "not as many rows" in fault.what


@pytest.fixture(scope="module")
def planted(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The faults of an atlas with every change planted at once, and its hashes written down anew."""
    path = tmp_path_factory.mktemp("planted") / "atlas.duckdb"
    found = faults_of(with_rows_changed(sound, path, *PLANTED, recorded=True))
    assert not [fault for fault in found if fault.kind == "contents"]
    return list(map(str, found))


@pytest.mark.parametrize("statement", PLANTED)
def test_a_planted_change_is_told_though_its_hash_was_written_anew(statement: str, planted: list[str]) -> None:
    kind, where, what = PLANTED[statement]

    assert [fault for fault in planted if fault.startswith(f"{kind}: {where}") and what in fault]


def test_a_database_that_cannot_be_read_is_one_fault(sound: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "torn.duckdb"
    content = bytearray(sound.read_bytes())
    content[len(content) // 3 : len(content) // 3 + 200_000] = bytes(200_000)
    damaged.write_bytes(content)

    found = faults_of(damaged)

    assert [fault.kind for fault in found][-1] == "database"
