"""What schema.sql promises of every row, as queries for the rows that break it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import NamedTuple

from atlas.store.schema import VIEWS, schema_columns


class Promise(NamedTuple):
    """Something that holds of every row of a table."""

    kind: str
    table: str
    said: str
    """What is wrong with a row that breaks it."""
    query: str
    """The rows that break it: `place`, what is `found`, and what is `expected` or NULL."""


KEYS = {
    "provenance": ("key",),
    "experts": ("expert",),
    "tasks": ("task",),
    "labels": ("task", "label"),
    "hypotheses": ("task", "hypothesis"),
    "windows": ("task", "window"),
    "vocabulary": ("task", "token"),
    "expert_stats": ("task", "expert"),
    "top_firings": ("task", "expert", "stratum", "rank"),
    "expert_tokens": ("task", "expert", "token"),
    "norm_histogram": ("task", "expert", "bin"),
    "position_rates": ("task", "expert", "lower"),
    "co_firing": ("task", "expert", "neighbour"),
    "token_sample": ("task", "token"),
    "token_sample_firings": ("task", "token", "expert"),
    "label_mentions": ("task", "labelled", "label"),
    "mentions": ("task", "mention"),
    "mention_firings": ("task", "mention", "expert"),
    "scores": ("task", "hypothesis", "expert"),
    "mention_scores": ("task", "hypothesis", "expert"),
    "mention_sets": ("task",),
    "baselines": ("task", "hypothesis", "reference", "metric"),
    "task_stats": ("task", "expert"),
    "label_stats": ("task", "label", "expert"),
    "task_importance": ("task", "expert"),
    "shattered": ("task", "hypothesis", "step"),
    "newline_scores": ("task", "expert"),
    "reference_experts": ("task", "expert"),
    "reference_scores": ("task", "hypothesis", "expert"),
    "code_axes": ("expert", "axis"),
    "shapes": ("task", "expert"),
    "shape_tests": ("task", "expert", "statistic"),
    "shape_classes": ("task", "class"),
    "neighbours": ("expert", "kind", "neighbour"),
    "overview": ("expert",),
    "overview_clusters": ("cluster",),
    "titles": ("expert",),
    "evaluation": ("task", "subject", "metric"),
    "prompts": ("prompt",),
    "prompt_tokens": ("prompt", "position"),
    "prompt_norms": ("prompt", "expert"),
}
"""Columns that no two rows of a table have alike."""
PLACES = {
    **KEYS,
    "points": ("task", "expert", "window", "position"),
    "training_log": ("step", "metric"),
    "absences": ("name", "what"),
}
"""What a row is named by."""
NUMBERED = {
    "experts": ("expert",),
    "tasks": ("task",),
    "labels": ("label", "task"),
    "hypotheses": ("hypothesis", "task"),
    "windows": ("window", "task"),
    "token_sample": ("token", "task"),
    "mentions": ("mention", "task"),
    "top_firings": ("rank", "task", "expert", "stratum"),
    "expert_tokens": ("rank", "task", "expert"),
    "co_firing": ("rank", "task", "expert"),
    "neighbours": ("rank", "expert", "kind"),
    "scores": ("rank", "task", "hypothesis"),
    "mention_scores": ("rank", "task", "hypothesis"),
    "newline_scores": ("rank", "task"),
    "reference_experts": ("rank", "task"),
    "shattered": ("step", "task", "hypothesis"),
    "code_axes": ("axis", "expert"),
    "overview_clusters": ("cluster",),
    "prompts": ("prompt",),
    "prompt_tokens": ("position", "prompt"),
}
"""A column that counts the rows from 0 without a gap, and what it begins anew with."""
_LEADS_TO = """
labels task ► tasks                      hypotheses task ► tasks              windows task ► tasks
windows task,label ► labels              vocabulary task ► tasks              expert_stats task ► tasks
expert_stats expert ► experts            points task ► tasks                  points expert ► experts
points task,window ► windows             points task,label ► labels           top_firings task,expert ► expert_stats
top_firings task,window ► windows        expert_tokens task,expert ► expert_stats
expert_tokens task,token ► vocabulary    norm_histogram task,expert ► expert_stats
position_rates task,expert ► expert_stats                                     co_firing task,expert ► expert_stats
co_firing task,neighbour ► expert_stats:task,expert                           token_sample task,window ► windows
token_sample_firings task,token ► token_sample                                token_sample_firings expert ► experts
mentions task,window ► windows           mentions task,labelled,label ► label_mentions
label_mentions task ► tasks              mention_firings task,mention ► mentions
mention_firings expert ► experts         scores task,hypothesis ► hypotheses  scores expert ► experts
mention_scores task,hypothesis ► hypotheses                                   mention_scores expert ► experts
mention_scores task ► mention_sets       mention_sets task ► tasks            baselines task,hypothesis ► hypotheses
task_stats task ► tasks                  task_stats expert ► experts          label_stats task,label ► labels
label_stats expert ► experts             task_importance task ► tasks         task_importance expert ► experts
shattered task,hypothesis ► hypotheses   shattered expert ► experts           newline_scores task ► tasks
newline_scores expert ► experts          reference_experts task ► tasks       reference_experts expert ► experts
reference_scores task,hypothesis ► hypotheses                                 reference_scores expert ► experts
code_axes expert ► experts               shapes task ► tasks                  shapes expert ► experts
shapes task,expert,statistic ► shape_tests                                    shape_tests task,expert ► shapes
shape_classes task ► tasks               neighbours expert ► experts          neighbours neighbour ► experts:expert
overview expert ► experts                overview cluster ► overview_clusters titles expert ► experts
titles task ► tasks                      evaluation task ► tasks              prompt_tokens prompt ► prompts
prompt_norms prompt ► prompts            prompt_norms expert ► experts        experts expert ► titles
experts expert ► code_axes
"""
_REFERENCE = re.compile(r"(\w+) ([\w,]+) ► (\w+)(?::([\w,]+))?")
HOLDS = {
    "provenance": ("json_valid(value)",),
    "tasks": (
        "kind IN ('corpus', 'labelled')",
        "held_out_tokens BETWEEN 0 AND tokens",
        "importance_tokens BETWEEN 0 AND tokens",
        "dropped >= 0",
    ),
    "hypotheses": ("p_smallest > 0", "p_smallest <= q", "q <= 1", "testable >= 0"),
    "windows": (
        "len(tokens) = 0 OR position BETWEEN 0 AND len(tokens) - 1",
        "ordinal >= 0",
        "(label IS NULL) = (template IS NULL)",
    ),
    "vocabulary": ('"count" >= 0',),
    "expert_stats": (
        "firings >= 0",
        "held_out_firings BETWEEN 0 AND firings",
        "documents BETWEEN 0 AND firings",
        "rate BETWEEN 0 AND 1",
        "(firings = 0) = (max_norm IS NULL)",
        "mean_norm <= max_norm * 1.00001",
        "norm_q10 <= norm_q25 AND norm_q25 <= norm_q50 AND norm_q50 <= norm_q75",
        "norm_q75 <= norm_q90 AND norm_q90 <= norm_q99 AND norm_q99 <= max_norm * 1.00001",
        "(importance > 0) = (dimensions_needed IS NOT NULL)",
        "dense = (rate > 0.1)",
    ),
    "points": ("position >= 0", "norm > 0"),
    "top_firings": ("stratum IN ('top', 'q75', 'q50', 'q25', 'q0')", "len(around) = 24", "list_max(around) <= 3"),
    "expert_tokens": (
        '"count" BETWEEN 1 AND sampled',
        'abs(share - "count" / sampled) < 1e-9',
        "share_low <= share + 1e-9 AND share_high >= share - 1e-9",
        "share_low >= -1e-9 AND share_high <= 1 + 1e-9",
        "lift > 0",
    ),
    "norm_histogram": ('"count" >= 0',),
    "position_rates": ("lower <= upper", "rate BETWEEN 0 AND 1", "firings >= 0"),
    "co_firing": ("neighbour <> expert", "tokens > 0"),
    "label_mentions": ("held_out BETWEEN 0 AND mentions", "documents BETWEEN 0 AND mentions"),
    "scores": (
        "all_rows_low <= all_rows_high",
        "n_where_it_fires BETWEEN 0 AND active_rows",
        "covered >= 0",
        "p_order > 0 AND p_order <= 1",
        "p_order_adjusted BETWEEN p_order AND 1",
        "p_within_halves > 0 AND p_within_halves <= 1",
        "testable OR p_order IS NULL",
        "NOT order_supported OR (testable AND p_order_adjusted <= 0.05 AND all_rows_low > 0 AND left_out_label > 0)",
    ),
    "mention_sets": ("report_words BETWEEN 0 AND words", "report_documents BETWEEN 0 AND documents"),
    "task_stats": ("active_rows >= 50", "p_label > 0 AND p_label <= 1", "preference_band BETWEEN 0 AND 0.5", "lift >= 0"),
    "label_stats": ("fired >= 1", "fires BETWEEN 0 AND 1", "preference BETWEEN 0 AND 1", "lift >= 0"),
    "shattered": ("all_rows_low <= all_rows_high",),
    "newline_scores": (
        "rate BETWEEN 0 AND 1",
        "abs(periodic_gain - (encode_periodic_r2 - encode_linear_r2)) < 1e-6",
        "abs(held_out_gain - (held_out_periodic_r2 - held_out_linear_r2)) < 1e-6",
    ),
    "code_axes": ("variance >= 0", "share BETWEEN 0 AND 1 + 1e-9"),
    "shapes": (
        "points > 0",
        "(class IS NULL) = (absent IS NOT NULL)",
        "class IN ('line or ray', 'curve', 'ring', 'sheet', 'clusters', 'unclear')",
        "(class IS NULL) = (spectrum IS NULL)",
        "abs(list_sum(spectrum) - 1) < 1e-6",
        "abs(effective_dimension * list_sum(list_transform(spectrum, lambda part: part * part)) - 1) < 1e-6",
        "rms >= 0",
        "loops >= 0 AND clusters >= 1",
    ),
    "shape_tests": ("p > 0 AND p <= 1", "p_adjusted BETWEEN p AND 1"),
    "shape_classes": ("experts BETWEEN 0 AND tested",),
    "neighbours": ("kind IN ('output', 'encoder', 'context')", "value BETWEEN -1e-6 AND 1 + 1e-6", "neighbour <> expert"),
    "overview_clusters": ("named BETWEEN 0 AND experts", "basis IN ('title', 'tokens')"),
    "titles": (
        "basis IN ('order', 'task', 'tokens', 'silent')",
        "(basis IN ('order', 'task')) = (task IS NOT NULL)",
    ),
    "evaluation": ("tokens >= 0",),
    "prompt_norms": ("list_min(norms) >= 0",),
}
"""What is true of each row by itself; what cannot be said because something is NULL is not broken."""
HOLDS["mention_scores"] = HOLDS["scores"]


def promises() -> Iterator[Promise]:
    """Give everything that is promised, table by table as far as it is of one table alone."""
    yield from _keys()
    yield from _numbered()
    yield from _references()
    yield from _finite()
    yield from _conditions()
    yield from _agreements()


def _keys() -> Iterator[Promise]:
    for table, columns in KEYS.items():
        names = ", ".join(map(_quoted, columns))
        grouped = f"SELECT {names}, count(*) AS found FROM {table} GROUP BY ALL HAVING count(*) > 1"
        query = f"SELECT {_place(columns)}, found, 1 AS expected FROM ({grouped})"
        yield Promise("key", table, "there is more than one such row", query)


def _numbered() -> Iterator[Promise]:
    for table, (number, *by) in NUMBERED.items():
        column = _quoted(number)
        names = "".join(f"{_quoted(name)}, " for name in by)
        grouped = f"SELECT {names}count(DISTINCT {column}) AS n, min({column}) AS low, max({column}) AS high FROM {table}"
        broken = f"({grouped} GROUP BY ALL HAVING count(*) > 0) WHERE low <> 0 OR high <> n - 1"
        counted = "'from ' || low || ' to ' || high || ' in ' || n AS found, 'from 0 to ' || (n - 1) AS expected"
        yield Promise("number", table, f"{number} does not count without a gap", f"SELECT {_place(by)}, {counted} FROM {broken}")


def _references() -> Iterator[Promise]:
    for table, child, parent, of in _REFERENCE.findall(_LEADS_TO):
        columns = child.split(",")
        here = ", ".join(map(_quoted, columns))
        there = ", ".join(map(_quoted, (of or child).split(",")))
        known = " AND ".join(f"{_quoted(name)} IS NOT NULL" for name in columns)
        wanted = f"SELECT DISTINCT {here} FROM {table} WHERE {known} EXCEPT SELECT {there} FROM {parent}"
        query = f"SELECT {_place(columns)}, 'no such row of {parent}' AS found, NULL AS expected FROM ({wanted})"
        yield Promise("reference", table, f"leads to no row of {parent}", query)


def _finite() -> Iterator[Promise]:
    """Numbers are numbers: a stage leaves NULL where there is none."""
    for table, columns in schema_columns().items():
        for column, kind in columns.items():
            name = _quoted(column)
            broken = {
                "DOUBLE": f"NOT isfinite({name})",
                "FLOAT": f"NOT isfinite({name})",
                "DOUBLE[]": f"len(list_filter({name}, lambda one: one IS NULL OR NOT isfinite(one))) > 0",
                "FLOAT[]": f"len(list_filter({name}, lambda one: one IS NULL OR NOT isfinite(one))) > 0",
            }.get(kind)
            if broken and table not in VIEWS:
                query = f"SELECT {_place(PLACES[table])}, {name} AS found, NULL AS expected FROM {table} WHERE {broken}"
                yield Promise("number", table, f"{column} is not finite", query)


def _conditions() -> Iterator[Promise]:
    for table, conditions in HOLDS.items():
        for condition in conditions:
            named = [name for name in schema_columns()[table] if re.search(rf"\b{name}\b", condition)]
            found = " || ', ' || ".join(f"'{name} ' || coalesce(CAST({_quoted(name)} AS VARCHAR), 'NULL')" for name in named)
            said = " ".join(condition.replace('"', "").split())
            query = f"SELECT {_place(PLACES[table])}, {found} AS found, NULL AS expected FROM {table} WHERE NOT ({condition})"
            yield Promise("value", table, f"breaks {said!r}", query)


def _agreements() -> Iterator[Promise]:
    """Give what two tables say of one thing, from agreements.sql: a comment `table: what is wrong` before each query."""
    text = files(__package__).joinpath("agreements.sql").read_text(encoding="utf-8")
    for table, said, query in re.findall(r"^-- (\w+): (.+)\n((?:.+\n)+?)(?=\n|\Z)", text, re.MULTILINE):
        yield Promise("agreement", table, said, query.strip().removesuffix(";"))


def _place(columns: tuple[str, ...] | list[str]) -> str:
    parts = [f"'{name} ' || {_quoted(name)}" for name in columns]
    return f"concat_ws(', ', {', '.join(parts)}) AS place" if parts else "'' AS place"


def _quoted(column: str) -> str:
    return f'"{column}"'
