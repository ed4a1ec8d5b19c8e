"""A sentence's row is the one at the token where its label ends, wherever the label stands; sentences cut short are left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel

import tiny
from atlas.activations.model import LanguageModel, Specials
from atlas.activations.stream import StreamConfig, Window, blocks
from atlas.errors import ModelError, TaskError
from atlas.probe.rows import (
    Probed,
    TaskRows,
    label_embeddings,
    label_occurrences,
    probed_sentences,
    row_firings,
    task_rows,
)
from atlas.probe.tasks import Sentence, Task, builtin_tasks
from templated import order_of, templated

TEMPLATES = {
    "start": "{label} is the first month here.",
    "middle": "We met in {label} to read the atlas",
    "end": "Every expert fires on {label}",
    "comma": "It was {label}, and the ring held.",
    "stop": "It holds in {label}.",
    "quoted": 'They said "{label}" and left',
    "bracketed": "One number ({label}) is left out",
    "possessive": "It was {label}'s third day",
}
LABELS = ("June", "September", "42", "1969", "Monday")
STREAM = StreamConfig(window_tokens=64, model_batch=4)


def task_of(templates: tuple[str, ...] = tuple(TEMPLATES.values()), labels: tuple[str, ...] = LABELS) -> Task:
    return templated(labels, templates, tuple(f"group {i % 4}" for i in range(len(templates))), (order_of(len(labels)),))


# The probed token


@pytest.mark.parametrize("place", TEMPLATES)
def test_probed_token_is_the_one_that_the_label_ends_in(place: str, tiny_model: LanguageModel) -> None:
    probed, kept = probed_sentences(task_of((TEMPLATES[place],)), tiny_model, STREAM)

    assert len(probed) == len(LABELS) and kept.tolist() == list(range(len(LABELS)))
    for one in probed:
        sentence = one.sentence
        encoded = tiny_model.tokenizer(sentence.text, add_special_tokens=False)
        inside = sorted({encoded.char_to_token(at) for at in range(sentence.start, sentence.end)})
        assert one.token_ids == encoded["input_ids"]
        assert one.position == inside[-1]
        assert one.label_ids == [one.token_ids[i] for i in inside]
        # What is read up to the probed token holds the whole label, and without that token it does not.
        assert LABELS[sentence.label].lower() in tiny_model.tokenizer.decode(one.token_ids[: one.position + 1]).lower()
        assert LABELS[sentence.label].lower() not in tiny_model.tokenizer.decode(one.token_ids[: one.position]).lower()


def test_some_labels_have_several_tokens(tiny_model: LanguageModel) -> None:
    """Else the tests above would not tell a label's last token from its first."""
    labels = [*LABELS, *(str(n) for n in range(1905, 2005))]

    probed, _ = probed_sentences(task_of(labels=tuple(labels)), tiny_model, STREAM)

    assert {1} < {len(one.label_ids) for one in probed}


def test_labels_of_the_builtin_tasks_are_found(tiny_model: LanguageModel) -> None:
    for task in builtin_tasks():
        few = replace(task, sentences=task.sentences[::11])
        probed, _ = probed_sentences(few, tiny_model, STREAM)
        assert [one.sentence for one in probed] == list(few.sentences), task.name


# Rows


def test_row_is_the_models_own_at_that_token(tiny_model: LanguageModel) -> None:
    run = task_rows(task_of(), tiny_model, STREAM)

    full = AutoModel.from_pretrained(tiny_model.name)
    n_before = len(Specials(tiny_model.tokenizer).prefix)
    assert len(run.x) == len(run.probed) == len(TEMPLATES) * len(LABELS)
    for one, x in zip(run.probed, run.x, strict=True):
        # Whole sentences with their special tokens, unpadded; hidden_states[2] is the second block's output.
        encoded = tiny_model.tokenizer(one.sentence.text, return_tensors="pt")
        with torch.no_grad():
            states = full(encoded["input_ids"], output_hidden_states=True).hidden_states[2][0]
        torch.testing.assert_close(x, states[n_before + one.position], rtol=1e-4, atol=1e-5)


def test_sentences_whose_label_would_be_cut_off_are_dropped_and_counted(tiny_model: LanguageModel) -> None:
    """Labels end at different tokens; those whose last token just fits stay."""
    whole, _ = probed_sentences(task_of(), tiny_model, STREAM)
    specials = Specials(tiny_model.tokenizer)
    width = sorted(one.position for one in whole)[len(whole) // 2] + 1
    short = StreamConfig(window_tokens=width + len(specials.prefix) + len(specials.suffix))

    run = task_rows(task_of(), tiny_model, short)

    kept = [one.sentence for one in whole if one.position < width]
    assert 0 < run.dropped == len(whole) - len(kept) < len(whole)
    assert [one.sentence for one in run.probed] == kept
    assert max(one.position for one in run.probed) == width - 1
    assert max(len(one.token_ids) for one in run.probed) == width
    assert len(run.x) == len(kept) and (run.x != 0).any(dim=1).all()


def test_label_that_is_a_special_token_has_no_row(bert: LanguageModel) -> None:
    """A special token is run but never given out: there is no row to probe, least of all one of zeros."""
    run = task_rows(task_of(labels=("June", bert.tokenizer.mask_token)), bert, STREAM)

    assert {one.sentence.label for one in run.probed} == {0}
    assert run.dropped == len(TEMPLATES)
    assert (run.x != 0).any(dim=1).all()


# Firings


def test_firings_of_many_rows_are_those_of_each_row(bert: LanguageModel) -> None:
    """600 rows are two full blocks and a rest."""
    smixae = tiny.dictionary(threshold=1.0)
    x = torch.randn(600, tiny.D_MODEL, generator=torch.Generator().manual_seed(0))

    found = row_firings(x, smixae)

    dense = torch.zeros(600, smixae.n_experts, smixae.d_code)
    dense[found.token.long(), found.expert.long()] = found.code
    torch.testing.assert_close(dense, smixae.encode(x))
    assert (found.token.diff() >= 0).all() and found.token.max() > 512
    assert 0.05 < len(found.token) / dense[..., 0].numel() < 0.95


def test_firings_on_the_padding_of_the_last_block_are_left_out() -> None:
    everywhere = tiny.dictionary(threshold=-1.0)

    found = row_firings(torch.ones(5, tiny.D_MODEL), everywhere)

    assert found.token.tolist() == [row for row in range(5) for _ in range(everywhere.n_experts)]


# Labels


def of_labels(*label_ids: tuple[int, list[int]]) -> TaskRows:
    """Rows of one sentence each, given by label and token ids of the label."""
    probed = [Probed(Sentence(NAMES[label], label, index, 0, 4), ids, 0, ids) for index, (label, ids) in enumerate(label_ids)]
    return TaskRows(probed, torch.zeros(len(probed), 2), np.arange(len(probed)), 0)


NAMES = ("zero", "one ", "two ", "four")


def test_label_embedding_is_the_mean_over_its_tokens(bert: LanguageModel) -> None:
    found = label_embeddings(of_labels((0, [7]), (1, [8, 9, 9])), bert)

    table = bert.embeddings
    torch.testing.assert_close(found, torch.stack([table[7], (table[8] + 2 * table[9]) / 3]))


def test_occurrences_of_single_token_labels_are_exact_and_of_others_unknown() -> None:
    rows = of_labels((0, [3]), (0, [3]), (1, [2, 1]), (3, [0]))

    found = label_occurrences(rows, NAMES, torch.tensor([5, 6, 7, 8]))

    np.testing.assert_equal(found, [8.0, np.nan, np.nan, 5.0])


def test_occurrences_of_a_label_with_two_spellings_are_added() -> None:
    """With and without a leading space, or with a capital, a label is two tokens; the training text may have had both."""
    with_space_last, with_space_first = of_labels((0, [3]), (0, [1])), of_labels((0, [1]), (0, [3]))

    counts = torch.tensor([5, 6, 7, 8])

    assert label_occurrences(with_space_last, NAMES[:1], counts) == [14.0]
    assert label_occurrences(with_space_first, NAMES[:1], counts) == [14.0]


def test_without_training_counts_occurrences_are_unknown() -> None:
    np.testing.assert_equal(label_occurrences(of_labels((0, [3])), NAMES[:1], None), [np.nan])


def test_occurrences_of_a_label_that_is_not_in_the_text_are_unknown() -> None:
    """What is probed at the end of a text that joy speaks from is a full stop."""
    rows = of_labels((0, [3]))

    np.testing.assert_equal(label_occurrences(rows, ("joy",), torch.tensor([5, 6, 7, 8])), [np.nan])


def test_task_that_is_cut_off_altogether_is_refused(bert: LanguageModel) -> None:
    task = task_of(("Every expert of the small model fires on {label}",))

    with pytest.raises(TaskError, match="The labels of all 5 sentences lie beyond the window"):
        task_rows(task, bert, StreamConfig(window_tokens=4))


def test_text_that_is_probed_at_several_places_is_run_once(bert: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "We met in June and in September and in June"
    places = [(10, 14), (22, 31), (39, 43), (10, 14)]
    task = replace(task_of(), sentences=tuple(Sentence(text, 0, 0, start, end) for start, end in places))
    ran: list[Window] = []

    def recorded(windows: list[Window], *given: Any) -> Any:
        ran.extend(windows)
        return blocks(windows, *given)

    with monkeypatch.context() as patch:
        patch.setattr("atlas.probe.rows.blocks", recorded)
        run = task_rows(task, bert, STREAM)

    alone = [task_rows(replace(task, sentences=(one,)), bert, STREAM).x[0] for one in task.sentences]
    torch.testing.assert_close(run.x, torch.stack(alone))
    assert [window.token_ids for window in ran] == [run.probed[0].token_ids] and len({tuple(x.tolist()) for x in run.x}) == 3


def test_value_that_is_not_finite_is_refused_with_its_sentence(models: dict[str, Path]) -> None:
    broken = LanguageModel.load(str(models["bert"]), tiny.HOOKS["bert"])
    task = task_of()
    sentence = task.sentences[1]
    with torch.no_grad():
        broken.embeddings[broken.tokenizer(sentence.text)["input_ids"]] = float("nan")

    with pytest.raises(ModelError, match=r"returned values that are not finite for the text '.*' of "):
        task_rows(task, broken, STREAM)


# Rows that are given


def test_matrix_is_its_own_rows(bert: LanguageModel) -> None:
    matrix = np.random.default_rng(0).standard_normal((6, bert.d_model)).astype(np.float32)
    sentences = tuple(Sentence("", row % 2, row // 2, 0, 0) for row in range(6))
    task = replace(task_of(), labels=("a", "b"), sentences=sentences, matrix=matrix)

    run = task_rows(task, bert, STREAM)

    np.testing.assert_array_equal(run.x.numpy(), matrix)
    assert [one.sentence for one in run.probed] == list(sentences) and label_embeddings(run, bert) is None


def test_matrix_of_another_width_is_refused(bert: LanguageModel) -> None:
    matrix = np.zeros((1, bert.d_model + 1), np.float32)
    task = replace(task_of(), sentences=(Sentence("", 0, 0, 0, 0),), matrix=matrix)

    with pytest.raises(TaskError, match=f"Its rows have {bert.d_model + 1} numbers, those of .* {bert.d_model}"):
        task_rows(task, bert, STREAM)
