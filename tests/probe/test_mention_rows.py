"""Mentions become rows of held-out documents, grouped by document; where they are too few, one line says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import harvests
import tiny
from atlas.activations.model import LanguageModel
from atlas.harvest.harvest import harvest
from atlas.probe.mentions import Mentioned, mention_rows
from atlas.probe.tasks import Task
from atlas.stages import Ragged, Tables, finished

LABELS = ("red", "green", "blue", "grey")
OTHERS = ("circle", "red", "square")


def task_of(labels: tuple[str, ...] = LABELS, name: str = "colours") -> Task:
    return Task(
        name=name,
        title=name,
        family="test",
        description="",
        cyclic=False,
        labels=labels,
        values=np.arange(len(labels), dtype=np.float64),
        colours=(),
        hypotheses=(),
        needs=(),
        natural_mentions=True,
        sentences=(),
        groups=(),
    )


class Mention(NamedTuple):
    corpus: int
    document: int
    ordinal: int
    position: int
    label: int
    held_out: bool = True
    labelled: str = "colours"
    text: int | None = None
    """First token of its window; each window has its own where that is not given."""


def several(n: int = 200, n_documents: int = 60, corpora: int = 2) -> list[Mention]:
    """Mentions here and there in the documents of some corpora, no two at one place."""
    rng = np.random.default_rng(0)
    return [Mention(i % corpora, int(rng.integers(n_documents)), int(rng.integers(3)), i, int(rng.integers(4))) for i in range(n)]


def harvested(mentions: list[Mention], d_code: int = 2) -> Tables:
    """The tables of a harvest with these mentions; the number of a firing's mention is in its code."""
    tables: dict[str, dict[str, Any]] = {"tasks": {"task": np.arange(2, dtype=np.int32), "name": ["web", "books"]}}
    tables["label_mentions"] = {
        "task": np.repeat(np.arange(2, dtype=np.int32), 7),
        "labelled": (["colours"] * 4 + ["shapes"] * 3) * 2,
        "name": [*LABELS, *OTHERS] * 2,
    }
    places = sorted({(one.corpus, one.document, one.ordinal, one.text) for one in mentions}, key=lambda place: place[:3])
    number = {place: sum(other[0] == place[0] for other in places[:at]) for at, place in enumerate(places)}
    text = [[at if first is None else 10_000 + first, 1, 2] for at, (*_, first) in enumerate(places)]
    tables["windows"] = {
        "task": np.array([place[0] for place in places], dtype=np.int32),
        "window": np.array([number[place] for place in places], dtype=np.int32),
        "document": np.array([place[1] for place in places], dtype=np.int64),
        "tokens": Ragged(np.array(text, dtype=np.int32).ravel(), 3 * np.arange(len(places) + 1)),
    }
    mentions = sorted(mentions, key=lambda one: one.corpus)
    of_corpus = [sum(other.corpus == one.corpus for other in mentions[:at]) for at, one in enumerate(mentions)]
    tables["mentions"] = {
        "task": np.array([one.corpus for one in mentions], dtype=np.int32),
        "mention": np.array(of_corpus, dtype=np.int32),
        "labelled": [one.labelled for one in mentions],
        "label": np.array([one.label for one in mentions], dtype=np.int32),
        "window": np.array([number[one.corpus, one.document, one.ordinal, one.text] for one in mentions], dtype=np.int32),
        "position": np.array([one.position for one in mentions], dtype=np.int32),
        "held_out": [one.held_out for one in mentions],
    }
    firings = [(at, expert) for at in range(len(mentions)) for expert in range(at % 3)]
    codes = np.array([[at, expert] for at, expert in firings], dtype=np.float32).reshape(-1, d_code)
    tables["mention_firings"] = {
        "task": np.array([mentions[at].corpus for at, _ in firings], dtype=np.int32),
        "mention": np.array([of_corpus[at] for at, _ in firings], dtype=np.int32),
        "expert": np.array([expert for _, expert in firings], dtype=np.int32),
        "code": Ragged(codes.ravel(), d_code * np.arange(len(codes) + 1)),
    }
    return tables


def used(mentions: list[Mention]) -> Mentioned:
    found = mention_rows(harvested(mentions), task_of())
    assert isinstance(found, Mentioned)
    return found


def test_rows_are_the_mentions_with_place_and_label() -> None:
    mentions = several()

    found = used(mentions)

    tables = harvested(mentions)
    window = {
        (int(corpus), int(number)): int(document)
        for corpus, number, document in zip(*(tables["windows"][name] for name in ("task", "window", "document")), strict=True)
    }
    document = [window[place] for place in zip(found.corpus.tolist(), found.window.tolist(), strict=True)]
    rows = zip(found.corpus.tolist(), document, found.position.tolist(), found.rows.label.tolist(), strict=True)
    assert sorted(rows) == sorted((one.corpus, one.document, one.position, one.label) for one in mentions)
    assert found.rows.n_labels == 4


def test_templates_are_documents_and_folds_whole_documents_of_nine_groups() -> None:
    mentions = several()

    found = used(mentions)

    documents = {(one.corpus, one.document) for one in mentions}
    assert len(found.rows.fold) == len(found.rows.report) == len(documents) == found.rows.template.max() + 1
    assert set(found.rows.fold) == set(range(9))
    assert set(found.rows.fold[found.rows.report]) == {1, 4, 7}
    alone = [(row, corpus) for row, corpus in zip(found.rows.template.tolist(), found.corpus.tolist(), strict=True)]
    assert len(set(alone)) == len(documents), "a document of one corpus is no document of another"


def test_groups_hold_about_equally_many_mentions_whatever_one_document_has() -> None:
    large = [Mention(0, 700, 0, position, position % 4) for position in range(90)]

    found = used(several() + large)

    sizes = np.bincount(found.rows.fold[found.rows.template], minlength=9)
    others = np.sort(sizes)[:-1]
    assert sizes.max() == 90 and np.ptp(others) <= 3
    assert not found.rows.report[found.rows.template[found.corpus == 0]].all()


def test_report_set_of_hardly_any_mentions_is_absent() -> None:
    """Nearly all stand in one large document, which ranking gets; a word or two are left for each of the other groups."""
    large = [Mention(0, 700, 0, position, position % 4) for position in range(240)]
    small = [Mention(1, document, 0, 0, document % 4) for document in range(16)]

    reason = mention_rows(harvested(large + small), task_of())

    assert reason == "256 mentions, all but 6 in documents that scores are fitted to; 15 others are needed to measure them."


def test_firings_are_those_of_the_rows() -> None:
    mentions = [
        one._replace(held_out=i % 4 > 0, labelled="shapes" if i % 7 == 0 else "colours") for i, one in enumerate(several(300))
    ]

    found = used(mentions)

    tables = harvested(mentions)
    # The first number of a code is the mention's place among those of both corpora, and there are as many firings as it mod 3.
    places = zip(
        *(np.asarray(tables["mentions"][name]).tolist() for name in ("task", "window", "position", "label")), strict=True
    )
    place_of = dict(enumerate(places))
    got = {(place_of[int(at)], int(expert)) for at, expert in found.fired.code}
    rows = list(zip(*(column.tolist() for column in (found.corpus, found.window, found.position, found.rows.label)), strict=True))
    for row, expert, (at, again) in zip(
        found.fired.row.tolist(), found.fired.expert.tolist(), found.fired.code.tolist(), strict=True
    ):
        assert place_of[int(at)] == rows[row] and expert == int(again)
    kept = [at for at, place in place_of.items() if place in set(rows)]
    taken = {int(at) for at, _ in found.fired.code}
    assert taken <= set(kept)
    assert sum(at % 3 for at in taken) == len(got) == len(found.fired.row)


def test_mentions_that_are_not_held_out_are_left_out() -> None:
    mentions = several(120)
    trained_on = [one._replace(document=one.document + 1000, held_out=False) for one in mentions]

    both, alone = used(mentions + trained_on), used(mentions)

    assert both.rows.label.tolist() == alone.rows.label.tolist()
    assert both.rows.fold.tolist() == alone.rows.fold.tolist()


def test_windows_of_equal_tokens_count_once() -> None:
    """A notice that stands in forty documents gives one row, at each of the two places where it mentions a label."""
    notice = [Mention(i % 2, 500 + i, 0, position, 3, text=7) for i in range(40) for position in (2, 5)]

    found = used(several() + notice)

    assert (found.rows.label == 3).sum() == (used(several()).rows.label == 3).sum() + 2


def test_label_of_another_task_is_no_row() -> None:
    others = [Mention(0, 900 + i, 0, 0, i % 3, labelled="shapes") for i in range(80)]

    assert len(used(several() + others).rows.label) == len(used(several()).rows.label)
    assert isinstance(mention_rows(harvested(several() + others), task_of(OTHERS, "shapes")), Mentioned)


@pytest.mark.parametrize(
    ("mentions", "reason"),
    [
        ([], "No mentions in held-out documents; 50 are needed."),
        (several(1), "1 mention in held-out documents; 50 are needed."),
        ([one._replace(ordinal=i) for i, one in enumerate(several(49))], "49 mentions in held-out documents; 50 are needed."),
        (
            [one._replace(label=i >= 95) for i, one in enumerate(several(100))],
            "2 labels of 4 with 5 or more mentions; 3 are needed.",
        ),
        (
            [one._replace(label=0, ordinal=i) if i >= 4 else one._replace(label=1) for i, one in enumerate(several(100))],
            "1 label of 4 with 5 or more mentions; 3 are needed.",
        ),
    ],
    ids=["none", "one", "49", "two labels", "one label"],
)
def test_too_few_mentions_say_so(mentions: list[Mention], reason: str) -> None:
    assert mention_rows(harvested(mentions), task_of()) == reason


def test_too_few_documents_say_how_they_fall() -> None:
    mentions = [one._replace(document=i % 3, corpus=0, ordinal=i) for i, one in enumerate(several(90))]

    reason = mention_rows(harvested(mentions), task_of())

    assert isinstance(reason, str)
    assert reason.startswith("Mentions are in 3 documents, ") and reason.endswith("; 3 of each are needed.")


@pytest.mark.parametrize("task", [task_of(name="years"), task_of(LABELS[:3]), task_of(LABELS[::-1])])
def test_harvest_that_did_not_look_for_the_labels_says_so(task: Task) -> None:
    assert mention_rows(harvested(several()), task) == "The harvest did not look for these labels in its text."


def test_no_firing_on_any_mention_is_no_error() -> None:
    tables = harvested(several())
    nothing = {name: np.zeros(0, dtype=np.int32) for name in ("task", "mention", "expert")}
    code = Ragged(np.zeros(0, dtype=np.float32), np.zeros(1, dtype=np.int64))

    found = mention_rows({**tables, "mention_firings": {**nothing, "code": code}}, task_of())

    assert isinstance(found, Mentioned) and len(found.fired.row) == 0


def test_mentions_of_a_harvest_are_used(bert: LanguageModel, tmp_path: Path) -> None:
    """Each row's token is the label's last, and its firings are those that the dictionary has there."""
    corpus = harvests.corpus_of(tmp_path / "text.jsonl", tiny.documents(120))
    checkpoint = harvests.dictionary_for(bert, corpus, tmp_path / "dictionary")
    labels = ("1969", "42", "june", "monday")
    config = replace(harvests.CONFIG, mentions=100)
    assert harvest(checkpoint, bert, [corpus], tmp_path / "work", config, words={"any": labels[:2] + ("June", "Monday")})
    task = task_of(labels[:2] + ("June", "Monday"), "any")

    done = finished(tmp_path / "work", "harvest")
    found = mention_rows(done.tables, task)

    assert isinstance(found, Mentioned)
    assert len(np.unique(found.rows.label)) == 4 and len(found.rows.label) > 100
    ids = done.tables["windows"]["tokens"]
    assert isinstance(ids, Ragged)
    for label, window, position in zip(found.rows.label, found.window, found.position, strict=True):
        token = ids.values[ids.offsets[window] + position]
        piece = bert.tokenizer.convert_ids_to_tokens([token])[0].removeprefix("##")
        assert labels[label].endswith(piece), json.dumps([labels[label], piece])
    norms = np.linalg.norm(found.fired.code, axis=1)
    assert found.fired.code.shape[1] == 3 and (norms > checkpoint.smixae.threshold).all()
    assert len(set(zip(found.fired.row.tolist(), found.fired.expert.tolist(), strict=True))) == len(norms) > 100
