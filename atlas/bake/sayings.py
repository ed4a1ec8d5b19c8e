"""What can be said about an expert, in a sentence or three, each resting on a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from atlas.bake.numbers import count, interval, percent, score, significant
from atlas.store import Hypothesis, Task

Row = Mapping[str, Any]


def sayings(expert: Row, scores: Sequence[Row], tasks: Mapping[int, Task], *, n_experts: int) -> list[str]:
    """Return the sentences for one expert.

    `expert` is a row of the overview with the number of `documents` that it fires in, `scores` its rows of that table.
    """
    if expert["silent"]:
        return [_silent(expert, tasks[0])]
    supported = sorted(
        (row for row in scores if row["order_supported"]),
        key=lambda row: (row["task"] != expert["title_task"], -row["ranking"]),
    )
    said = [_order(row, tasks[row["task"]], n_experts) for row in supported[:1]]
    if len(supported) > 1:
        said.append(_others(supported[1:], tasks))
    if expert["basis"] == "task":
        said.append(_task(expert, tasks[expert["title_task"]], supported))
    elif not supported:
        said.append(
            "No claim: it keeps to no labelled task, and no order of labels is supported. "
            "Its title names the tokens that set it apart: by their share of its firings times the logarithm of their lift."
        )
    said.append(_weight(expert, [task for task in tasks.values() if task.kind == "corpus"]))
    if supported:
        said.append("What can be read from a code need not be what the model reads there: that is not tested here.")
    return said


def chosen(n: int, firings: int, seed: int) -> str:
    """Return which firings were looked at: 'all its 312 firings', or a sample with its size and seed."""
    if n >= firings:
        return f"all its {count(firings)} firings"
    return f"{count(n)} of its {count(firings)} firings, chosen by a hash (seed\u00a0{seed})"


def tested_tokens(corpus: Task) -> str:
    """Return the tokens that an expert is silent on if it fires on none: held-out ones, or all where nothing is held out."""
    if corpus.held_out_tokens:
        return f"{count(corpus.held_out_tokens)} held-out tokens"
    return f"{count(corpus.tokens)} tokens, which the dictionary was trained on"


def rows_called(task: Task) -> str:
    """Return what the rows of a labelled task are."""
    return "sentences" if task.has_text else "rows"


def _silent(expert: Row, corpus: Task) -> str:
    others = corpus.tokens - corpus.held_out_tokens
    elsewhere = f" It fired {count(expert['firings'])} times on the other {count(others)}." if expert["firings"] else ""
    return f"It fired on none of the {tested_tokens(corpus)}.{elsewhere} Nothing is claimed about what it does."


def _order(row: Row, task: Task, n_experts: int) -> str:
    hypothesis = _hypothesis(row, task)
    reached = interval(row["all_rows"], row["all_rows_low"], row["all_rows_high"])
    arrangement = _called(hypothesis)
    return (
        f"The {arrangement} of {task.title} ({hypothesis.title}) can be read from its code: {hypothesis.measure} {reached} on "
        f"{count(task.report_rows)} {rows_called(task)}, better than shuffled {arrangement}s "
        f"(adjusted p {significant(row['p_order_adjusted'])}), "
        f"and {score(row['left_out_label'])} on labels left out of the fit." + _floor(row, hypothesis, n_experts)
    )


def _others(rows: Sequence[Row], tasks: Mapping[int, Task]) -> str:
    titles = list(dict.fromkeys(tasks[row["task"]].title for row in rows))
    called = {_called(_hypothesis(row, tasks[row["task"]])) for row in rows}
    # A ring or a line is an arrangement too.
    one = called.pop() if len(called) == 1 else "arrangement"
    more = f"One more {one} is" if len(rows) == 1 else f"{len(rows)} more {one}s are"
    return f"{more} supported, of {_listed(titles)}: see the scores."


def _hypothesis(row: Row, task: Task) -> Hypothesis:
    return next(known for known in task.hypotheses if known.hypothesis == row["hypothesis"])


def _called(hypothesis: Hypothesis) -> str:
    """Return what a supported hypothesis says that labels have: places in a space of several numbers have no order."""
    return "arrangement" if hypothesis.shape == "map" else "order"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _floor(row: Row, hypothesis: Hypothesis, n_experts: int) -> str:
    floor = hypothesis.references.get("random_projection")
    if floor is None:
        return ""
    best = f"the best of {count(n_experts)} random projections reaches {score(floor)}"
    if row["all_rows"] <= floor:
        return f" But {best}: the score alone does not set it apart."
    return f" {best[0].upper()}{best[1:]}."


def _task(expert: Row, task: Task, supported: Sequence[Row]) -> str:
    testable = [_called(one) for one in task.hypotheses if one.of_label and one.shape != "classes"]
    is_supported = any(row["task"] == task.task for row in supported)
    order = f" No {testable[0]} of them is supported." if testable and not is_supported else ""
    return f"It fires on {task.title} far more than on other text ({_rests_on(expert)}).{order}"


def _rests_on(expert: Row) -> str:
    return f"{expert['measure']} {significant(expert['value'])}"


def _weight(expert: Row, corpora: Sequence[Task]) -> str:
    dense = "It is dense: it" if expert["dense"] else "It"
    where = f" of {corpora[0].title}" if len(corpora) > 1 else ""
    documents = f"in {count(expert['documents'])} of {count(corpora[0].documents)} documents"
    text = "held-out tokens" if corpora[0].held_out_tokens else "text that it was trained on"
    return (
        f"{dense} fires on {percent(expert['rate'])} of the tokens{where}, {documents}; without it, "
        f"{percent(expert['importance'])} more of the variance of {text} goes unexplained."
    )
