"""Labels are the characters since the newline, and the measures on them are those of plain least squares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import harvests
import tiny
from atlas.activations.corpus import Corpus
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig
from atlas.dictionary import Smixae
from atlas.errors import TaskError
from atlas.probe import newline
from atlas.probe.config import ProbeConfig
from atlas.probe.newline import NewlineWindow, measures_of, newline_measures, newline_task, newline_text, newline_windows
from atlas.probe.rows import probed_sentences
from atlas.probe.scores import Fired, NewlineMeasures, NewlineSums, newline_scores
from atlas.probe.tasks import Task

WIDTH = 80
CONFIG = StreamConfig()


@pytest.fixture(scope="module", autouse=True)
def few_tokens() -> Iterator[None]:
    """Less text, from as many documents."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(newline, "TOKENS", 5_000)
        patch.setattr(newline, "DOCUMENT_TOKENS", 350)
        yield


@pytest.fixture(scope="module", params=["gpt2", "qwen", "llama", "gemma2"])
def model(request: pytest.FixtureRequest, models: dict[str, Path]) -> LanguageModel:
    """A tiny model for each kind of tokenizer that keeps newlines."""
    return LanguageModel.load(str(models[request.param]), tiny.HOOKS[request.param])


@pytest.fixture(scope="module")
def windows(model: LanguageModel) -> list[NewlineWindow]:
    return newline_windows(WIDTH, model.tokenizer, CONFIG, seed=0)


@pytest.fixture(scope="module")
def task(model: LanguageModel) -> Task:
    return newline_task(WIDTH, model.tokenizer, CONFIG, seed=0)


def since_newline(token_ids: list[int], model: LanguageModel) -> int | None:
    """Characters behind the last newline that the tokens decode to; None where they decode to none."""
    text = model.tokenizer.decode(token_ids, clean_up_tokenization_spaces=False)
    return len(text) - text.rindex("\n") - 1 if "\n" in text else None


# The text


@settings(max_examples=60)
@given(st.lists(st.text("ab \n\t-", max_size=80), max_size=3), st.integers(3, 20))
def test_lines_hold_as_many_words_as_fit(documents: list[str], width: int) -> None:
    for text, wrapped in zip(documents, newline_text(width, documents), strict=True):
        lines = wrapped.split("\n")
        assert all(len(line) <= width for line in lines)
        if all(len(word) <= width for word in text.split()):
            assert " ".join(lines).split() == text.split()
            for line, following in zip(lines, lines[1:], strict=False):
                assert len(line) + 1 + len(following.split()[0]) > width
        assert "".join(wrapped.split()) == "".join(text.split())


def test_windows_are_whole_lines_that_fit(windows: list[NewlineWindow], model: LanguageModel) -> None:
    for one in windows:
        lines = one.text.split("\n")
        assert len(lines) >= 2 and all(0 < len(line) <= WIDTH for line in lines)
        assert model.tokenizer(one.text, add_special_tokens=False)["input_ids"] == one.token_ids
        assert len(model.specials.wrap(one.token_ids)) <= CONFIG.window_tokens
    assert np.mean([len(one.token_ids) for one in windows]) > CONFIG.window_tokens / 2
    assert len({one.text for one in windows}) > 0.9 * len(windows)


def test_labels_are_the_characters_that_the_tokens_before_decode_to(windows: list[NewlineWindow], model: LanguageModel) -> None:
    labelled = 0
    for one in windows[::5]:
        for token, since in enumerate(one.since):
            decoded = since_newline(one.token_ids[: token + 1], model)
            assert since == 0 or since == decoded
            assert since or not decoded or len(one.text) > len(one.text.encode("ascii", "ignore"))
            labelled += since > 0
    assert labelled > 500


def test_token_that_holds_a_newline_counts_behind_it() -> None:
    """The place that a tokenizer gives such a token may leave the newline out, or take it in."""

    class Bytes:
        backend_tokenizer = None
        added_tokens_decoder: dict[int, str] = {}
        unk_token_id = None

        def __init__(self, *texts: str) -> None:
            self.texts = texts

        def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
            return [self.texts[i] for i in ids]

        def convert_tokens_to_string(self, tokens: list[str]) -> str:
            return "".join(tokens)

    spelled = Bytes("ab", ",\n", "cd", ".\nef", " g", "\n\n", "h")
    taken_in = [(0, 2), (2, 4), (4, 6), (6, 10), (10, 12), (12, 14), (14, 15)]
    left_out = [(0, 2), (2, 3), (4, 6), (6, 10), (11, 12), (12, 12), (14, 15)]

    for offsets in (taken_in, left_out):
        assert newline._since("ab,\ncd.\nef g\n\nh", list(range(7)), offsets, spelled, frozenset()) == [0, 0, 2, 2, 4, 0, 1]
    assert newline._since("ab,\ncd.\nef g\n\nh", list(range(7)), taken_in, spelled, frozenset({2}))[2] == 0


def test_part_of_a_character_is_no_row(models: dict[str, Path]) -> None:
    tokenizer = LanguageModel.load(str(models["gpt2"]), tiny.HOOKS["gpt2"]).tokenizer
    text = "a\n月b"
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)

    since = newline._since(text, encoded["input_ids"], encoded["offset_mapping"], tokenizer, frozenset())

    assert [one for one in since if one] == [1, 2]
    assert len(since) > 4


# The task


def test_probed_token_ends_as_many_characters_behind_the_newline_as_its_label_says(task: Task, model: LanguageModel) -> None:
    probed, kept = probed_sentences(task, model, CONFIG)

    assert kept.tolist() == list(range(len(task.sentences)))
    for one in probed[::3]:
        label = int(task.labels[one.sentence.label])
        assert since_newline(one.token_ids[: one.position + 1], model) == label == task.values[one.sentence.label]


def test_rows_of_a_label_come_from_as_many_documents_as_can_be(task: Task, windows: list[NewlineWindow]) -> None:
    at = {(one.text, token_end): one.document for one in windows for token_end in one.end}
    assert all(at[one.text, one.end] == one.template for one in task.sentences)
    for label, since in enumerate(task.values):
        rows = [one.template for one in task.sentences if one.label == label]
        places = [one.document for one in windows for here in one.since if here == since]
        assert len(rows) == min(30, len(places))
        assert len(set(rows)) == min(30, len(set(places)))
        spread = Counter(rows)
        could = Counter(places)
        least = min((n for document, n in spread.items() if n < could[document]), default=30)
        assert max(spread.values()) <= least + 1


def test_templates_are_documents_in_nine_groups(task: Task) -> None:
    assert len(task.groups) == max(one.template for one in task.sentences) + 1 >= 18
    assert len(task.group_names()) == 9
    assert len(set(task.folds()[task.report()])) == 3
    assert max(Counter(task.groups).values()) - min(Counter(task.groups).values()) <= 1


def test_task_says_what_it_is_of(task: Task, model: LanguageModel) -> None:
    assert (task.name, task.family, task.needs, task.natural_mentions) == ("newline_80", "layout", ("newline",), False)
    linear, ring = task.hypotheses
    assert (linear.name, linear.shape, ring.name, ring.shape) == ("linear", "ordinal", "cyc_80", "ring")
    assert linear.of_label is not None and ring.of_label is not None
    np.testing.assert_array_equal(linear.of_label[:, 0], task.values)
    at = task.labels.index("20")
    np.testing.assert_allclose(ring.of_label[at], [1, 0], atol=1e-12)
    again = newline_task(WIDTH, model.tokenizer, CONFIG, seed=0)
    assert again.fingerprint() == task.fingerprint() != newline_task(WIDTH, model.tokenizer, CONFIG, seed=1).fingerprint()


def test_window_too_small_for_two_lines_says_so(models: dict[str, Path]) -> None:
    tokenizer = LanguageModel.load(str(models["gpt2"]), tiny.HOOKS["gpt2"]).tokenizer

    with pytest.raises(TaskError, match="Windows of 24 tokens hold two lines of 150 characters in only 0 documents"):
        newline_task(150, tokenizer, StreamConfig(window_tokens=24), seed=0)


# The measures


def dense(since: np.ndarray, code: np.ndarray, second: np.ndarray, width: int) -> dict[str, float]:
    """The measures of one expert, whose codes are zeros where it is silent, by plain least squares."""
    place = 2 * np.pi * since / width
    linear = np.column_stack([np.ones(len(since)), since])
    periodic = np.column_stack([linear, *(wave(h * place) for h in (1, 2, 3) for wave in (np.sin, np.cos))])
    ahead = np.column_stack([np.ones(len(since)), code])

    def r2(x: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
        fit = np.linalg.lstsq(x[train], y[train], rcond=None)[0]
        return float(1 - ((y[test] - x[test] @ fit) ** 2).sum() / ((y[test] - y[train].mean()) ** 2).sum())

    def encode(x: np.ndarray, *parts: np.ndarray) -> float:
        return float(np.mean([r2(x, y, *parts) for y in code.T if np.ptp(y) > 0]))

    every = np.ones(len(since), dtype=bool)
    both = [(~second, second), (second, ~second)]
    whole = encode(linear, every, every), encode(periodic, every, every)
    held = [float(np.mean([encode(x, *parts) for parts in both])) for x in (linear, periodic)]
    return {
        "rate": float((code != 0).any(axis=1).mean()),
        "encode_linear_r2": whole[0],
        "encode_periodic_r2": whole[1],
        "periodic_gain": whole[1] - whole[0],
        "decode_r2": r2(ahead, since.astype(float), every, every),
        "held_out_linear_r2": held[0],
        "held_out_periodic_r2": held[1],
        "held_out_gain": held[1] - held[0],
        "held_out_decode_r2": float(np.mean([r2(ahead, since.astype(float), *parts) for parts in both])),
    }


def tokens(n: int = 3000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(1, WIDTH + 1, n), rng.random(n) < 0.4


def fired_by(codes: list[np.ndarray]) -> Fired:
    """Firings of experts, given by their codes on all rows with zeros where they are silent."""
    fires = [np.flatnonzero((code != 0).any(axis=1)) for code in codes]
    return Fired(
        np.concatenate(fires),
        np.repeat(np.arange(len(codes)), [len(row) for row in fires]),
        np.concatenate([code[row] for code, row in zip(codes, fires, strict=True)]),
    )


def some_codes(since: np.ndarray) -> list[np.ndarray]:
    """A ramp, a wave, noise on few tokens, a coordinate that tells nothing new, and one that never varies."""
    rng = np.random.default_rng(1)
    n = len(since)
    angle = 2 * np.pi * since / WIDTH
    noise = rng.standard_normal((n, 3))
    ramp = since[:, None] / 40 * [1.0, -2.0, 0.5] + noise
    wave = np.column_stack([np.sin(angle), np.cos(2 * angle), np.sin(3 * angle)]) * 2 + 5 + noise
    rare = np.where(rng.random((n, 1)) < 0.05, noise + 1, 0.0)
    doubled = np.where(since[:, None] > 60, np.column_stack([noise[:, 0], -2 * noise[:, 0], since / 9]), 0.0)
    flat = np.column_stack([ramp[:, :2], np.full(n, 3.0)])
    return [ramp, wave, rare, doubled, flat]


def test_measures_equal_least_squares_on_dense_codes() -> None:
    since, second = tokens()
    codes = some_codes(since)

    found = newline_scores(since, second, fired_by(codes), len(codes), WIDTH)

    for expert, code in enumerate(codes):
        for name, value in dense(since, code, second, WIDTH).items():
            assert getattr(found, name)[expert] == pytest.approx(value, abs=1e-9), (expert, name)


def test_sums_of_blocks_equal_those_of_the_whole() -> None:
    since, second = tokens()
    fired = fired_by(some_codes(since))
    sums = NewlineSums(5, 3, WIDTH)

    for start in range(0, len(since), 700):
        here = (fired.row >= start) & (fired.row < start + 700)
        part = Fired(fired.row[here] - start, fired.expert[here], fired.code[here])
        sums.update(since[start : start + 700], second[start : start + 700], part)

    whole = newline_scores(since, second, fired, 5, WIDTH)
    for name, column in sums.measures()._asdict().items():
        np.testing.assert_allclose(column, getattr(whole, name), atol=1e-10)


def test_wave_gains_and_noise_does_not() -> None:
    """In-sample noise gains too, as every larger model does; on the other half of the documents it loses."""
    since, second = tokens(4000)
    rng = np.random.default_rng(2)
    noise = [rng.standard_normal((len(since), 3)) for _ in range(20)]
    angle = 2 * np.pi * since / WIDTH
    wave = np.column_stack([np.sin(angle), np.cos(angle), 0 * angle]) * 2 + rng.standard_normal((len(since), 3)) * 0.3

    found = newline_scores(since, second, fired_by([wave, *noise]), 21, WIDTH)

    assert found.periodic_gain[0] > 0.3 and found.held_out_gain[0] > 0.3
    assert (found.periodic_gain[1:] > 0).all()
    assert (found.held_out_gain[1:] <= 0).mean() >= 0.9 and found.held_out_gain[1:].mean() < -0.001


def test_silent_expert_has_a_rate_and_nothing_else() -> None:
    since, second = tokens()
    codes = [some_codes(since)[0], np.zeros((len(since), 3))]

    found = newline_scores(since, second, fired_by(codes), 2, WIDTH)

    assert found.rate.tolist() == [1, 0]
    assert all(np.isnan(column[1]) and np.isfinite(column[0]) for column in found[1:])


def test_expert_that_fires_in_one_half_only_is_no_reading_of_the_other() -> None:
    since, second = tokens()
    code = np.where(second[:, None], some_codes(since)[1], 0.0)

    found = newline_scores(since, second, fired_by([code]), 1, WIDTH)

    for name, value in dense(since, code, second, WIDTH).items():
        assert getattr(found, name)[0] == pytest.approx(value, abs=1e-9), name
    assert found.held_out_periodic_r2[0] < 0


def test_codes_may_have_one_number() -> None:
    since, second = tokens()
    code = np.sin(2 * np.pi * since / WIDTH)[:, None]

    found = newline_scores(since, second, fired_by([code]), 1, WIDTH)

    assert found.encode_periodic_r2[0] == pytest.approx(1)


@pytest.fixture(scope="module")
def gpt2(models: dict[str, Path]) -> LanguageModel:
    """The tiny model of bytes."""
    return LanguageModel.load(str(models["gpt2"]), tiny.HOOKS["gpt2"])


@pytest.fixture(scope="module")
def smixae(gpt2: LanguageModel, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Smixae:
    """A random dictionary for it."""
    return harvests.dictionary_for(gpt2, corpus, tmp_path_factory.mktemp("dictionary")).smixae


def test_measures_of_a_model_are_over_every_labelled_token(gpt2: LanguageModel, smixae: Smixae) -> None:
    windows = newline_windows(WIDTH, gpt2.tokenizer, CONFIG, seed=0)
    rows, since, second = [], [], []
    for one in windows:
        ids = torch.tensor([gpt2.specials.wrap(one.token_ids)])
        first = len(gpt2.specials.prefix)
        x = gpt2.rows(ids, torch.ones_like(ids))[0, first : first + len(one.token_ids)]
        here = np.array(one.since)
        rows.append(x[torch.from_numpy(here > 0)])
        since.append(here[here > 0])
        second.append(np.full((here > 0).sum(), one.document % 2 == 1))
    fired = Fired(*(column.numpy() for column in smixae.firings(torch.cat(rows))))

    found = newline_measures(WIDTH, gpt2, smixae, CONFIG, seed=0)

    expected = newline_scores(np.concatenate(since), np.concatenate(second), fired, smixae.n_experts, WIDTH)
    assert 0 < expected.rate.min() < expected.rate.max() < 1
    for name, column in found._asdict().items():
        np.testing.assert_allclose(column, getattr(expected, name), atol=2e-3, err_msg=name)


def test_other_tasks_have_no_measures_of_the_place_in_a_line(gpt2: LanguageModel, smixae: Smixae) -> None:
    task = newline_task(WIDTH, gpt2.tokenizer, CONFIG, seed=0)

    assert measures_of(replace(task, name="months"), gpt2, smixae, ProbeConfig()) is None
    assert isinstance(measures_of(task, gpt2, smixae, ProbeConfig(stream=CONFIG)), NewlineMeasures)
