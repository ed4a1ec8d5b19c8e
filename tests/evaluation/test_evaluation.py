"""Every figure of an evaluation against its definition in plain float64 numpy, on rows and logits that nothing here computed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

import tiny
from atlas.activations.corpus import Corpus, Document, load_corpus
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig
from atlas.dictionary import Checkpoint, Smixae
from atlas.dictionary.trained_on import TRAINED_ON_FILE
from atlas.dictionary.training_log import TRAINING_LOG_FILE
from atlas.errors import ConfigError, CorpusError, DictionarySilent, ModelError, StageMissing, WorkOccupied
from atlas.evaluation import (
    EvaluationConfig,
    Measured,
    estimated_seconds,
    evaluate,
    held_out_text,
    measured,
    passed_tokens,
    require_enough,
)
from atlas.evaluation.fidelity import Fidelity, principal_components
from atlas.harvest.harvest import HarvestConfig, harvest
from atlas.probe.tasks import Task, builtin_tasks
from atlas.sealed import write_arrays
from atlas.stages import finished

WIDTH = 48
CONFIG = EvaluationConfig(stream=StreamConfig(window_tokens=WIDTH))
TASKS = [replace(task, sentences=tuple(one for one in task.sentences if one.template < 6)) for task in builtin_tasks()[:2]]
THRESHOLDS = {"gpt2": 0.05, "llama": 0.05, "bert": 0.9}
"""At which some experts of a random dictionary fire on some rows of these models."""

METRICS = ("fvu", "fvu_uncentred", "cosine", "norm_ratio", "normalised_mse")

Rows = NDArray[np.float64]


class Plain:
    """The language model as transformers has it: one window at a time, without padding, and with a hook of its own."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.kind = kind
        loader = transformers.AutoModel if kind == "bert" else transformers.AutoModelForCausalLM
        self.model = loader.from_pretrained(folder).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.block = dict(self.model.named_modules())[tiny.HOOKS[kind]]
        self.before = {"gpt2": 0, "llama": 1, "bert": 1}[kind]
        self.after = {"gpt2": 0, "llama": 0, "bert": 1}[kind]
        """Special tokens around a window."""

    def windows(self, text: str) -> list[torch.Tensor]:
        """The token ids of a text's windows, special tokens around each."""
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        width = WIDTH - self.before - self.after
        whole = self.tokenizer("a")["input_ids"]
        first, last = whole[: self.before], whole[len(whole) - self.after :]
        return [torch.tensor([[*first, *ids[i : i + width], *last]]) for i in range(0, len(ids), width)]

    def run(self, ids: torch.Tensor, replaced: Callable[[torch.Tensor], torch.Tensor] | None = None) -> tuple[Rows, torch.Tensor]:
        """The block's output on the tokens of text, and what the model ends in, with that output replaced."""
        seen: list[torch.Tensor] = []

        def hook(_module: Any, _inputs: Any, output: Any) -> Any:
            whole = output[0] if isinstance(output, tuple) else output
            seen.append(whole)
            if replaced is None:
                return output
            return (replaced(whole), *output[1:]) if isinstance(output, tuple) else replaced(whole)

        handle = self.block.register_forward_hook(hook)
        try:
            with torch.no_grad():
                out = self.model(ids)
        finally:
            handle.remove()
        return seen[0][0, self.text(ids)].double().numpy(), out[0]

    def text(self, ids: torch.Tensor) -> slice:
        return slice(self.before, ids.shape[1] - self.after)

    def rows(self, texts: list[str]) -> Rows:
        return np.concatenate([self.run(ids)[0] for text in texts for ids in self.windows(text)])


class Slow:
    """A dictionary by its equations, in float64."""

    def __init__(self, smixae: Smixae) -> None:
        self.w = {name: tensor.double().numpy() for name, tensor in smixae.weights._asdict().items()}
        self.config = smixae.config
        self.threshold = smixae.threshold

    def codes(self, x: Rows) -> Rows:
        n, e = self.config.n_experts, self.config.d_expert
        u = x @ self.w["W_enc"] + self.w["b_enc"]
        h = np.where(u > 0, u, 1e-4 * u).reshape(len(x), n, e)
        norm = np.sqrt((self.maps() ** 2).sum(axis=(1, 2)))
        z = np.einsum("bne,ned->bnd", h, self.w["W_bottleneck"]) * norm[:, None]
        return np.where(np.linalg.norm(z, axis=2, keepdims=True) > self.threshold, z, 0)

    def maps(self) -> Rows:
        w_dec = self.w["W_dec"].reshape(self.config.n_experts, self.config.d_expert, -1)
        return np.einsum("nde,nem->ndm", self.w["W_latent_dec"], w_dec)

    def fired(self, x: Rows) -> NDArray[np.bool_]:
        return self.codes(x).any(axis=2)

    def rebuilt(self, x: Rows) -> Rows:
        return np.einsum("bnd,ndm->bm", self.codes(x), self.maps()) + self.w["b_dec"]


def by_svd(x: Rows, fitted: Rows, n_components: int) -> Rows:
    """Rows rebuilt from their coordinates along the widest singular directions of other rows."""
    mean = fitted.mean(axis=0)
    _, _, directions = np.linalg.svd(fitted - mean, full_matrices=True)
    kept = directions[:n_components]
    return mean + (x - mean) @ kept.T @ kept


def definitions(x: Rows, rebuilt: Rows) -> dict[str, float]:
    """What measures.md says, word for word."""
    error = ((x - rebuilt) ** 2).sum(axis=1)
    length, other = np.linalg.norm(x, axis=1), np.linalg.norm(rebuilt, axis=1)
    return {
        "fvu": error.sum() / ((x - x.mean(axis=0)) ** 2).sum(),
        "fvu_uncentred": error.sum() / (x**2).sum(),
        "cosine": np.mean((x * rebuilt).sum(axis=1) / (length * other)),
        "norm_ratio": np.mean(other / length),
        "normalised_mse": np.mean(error / length**2),
    }


def texts(corpus: Corpus, held_out: bool) -> list[str]:
    return [document.text for document in corpus.read() if document.held_out == held_out]


def saved(folder: Path, kind: str = "bert", **shape: Any) -> Checkpoint:
    return Checkpoint.load(tiny.checkpoint(folder, {}, **({"threshold": THRESHOLDS[kind], "n_experts": 4} | shape)))


def figures(found: list[Measured], task: int = 0) -> dict[tuple[str, str], float]:
    return {(one.subject, one.metric): one.value for one in found if one.task == task}


class Run:
    """An evaluation of a random dictionary on each kind of model, and what it should have found."""

    def __init__(self, kind: str, folder: Path, corpus: Corpus, root: Path) -> None:
        self.kind = kind
        self.work = root / "work"
        self.model = LanguageModel.load(str(folder), tiny.HOOKS[kind])
        self.checkpoint = saved(root / "checkpoint", kind)
        self.counted: list[int] = []
        self.found = evaluate(self.checkpoint, self.model, corpus, self.work, CONFIG, TASKS, counted=self.counted.append)
        self.plain = Plain(folder, kind)
        self.slow = Slow(self.checkpoint.smixae)
        self.texts = texts(corpus, True)
        self.x = self.plain.rows(self.texts)
        self.fitted = self.plain.rows(texts(corpus, False))
        self.n_components = round(3 * self.slow.fired(self.x).sum() / len(self.x))


@pytest.fixture(scope="module")
def runs(models: dict[str, Path], corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """One for each kind of model."""
    return {kind: Run(kind, models[kind], corpus, tmp_path_factory.mktemp(kind)) for kind in tiny.KINDS}


@pytest.fixture(params=tiny.KINDS)
def run(request: pytest.FixtureRequest, runs: dict[str, Run]) -> Run:
    return runs[request.param]


# Figures


def test_dictionary_is_measured_as_defined(run: Run) -> None:
    found = figures(run.found)

    for metric, value in definitions(run.x, run.slow.rebuilt(run.x)).items():
        assert found["dictionary", metric] == pytest.approx(value, rel=1e-4), metric


def test_components_are_those_of_the_singular_value_decomposition(run: Run) -> None:
    found = figures(run.found)

    assert 0 < run.n_components < tiny.D_MODEL, "neither none nor all of them"
    assert found["pca", "coordinates_per_token"] == run.n_components
    for metric, value in definitions(run.x, by_svd(run.x, run.fitted, run.n_components)).items():
        assert found["pca", metric] == pytest.approx(value, rel=1e-4), metric


def test_experts_are_counted_on_held_out_rows(run: Run) -> None:
    fired = run.slow.fired(run.x)
    rates = fired.mean(axis=0)
    found = figures(run.found)

    assert found["dictionary", "experts_per_token"] == pytest.approx(fired.sum() / len(run.x))
    assert found["dictionary", "coordinates_per_token"] == pytest.approx(3 * fired.sum() / len(run.x))
    assert found["dictionary", "silent"] == (rates == 0).sum()
    assert found["dictionary", "dense"] == (rates > 0.1).sum()
    for percent in (0, 10, 50, 90, 100):
        assert found["dictionary", f"rate_q{percent}"] == pytest.approx(np.percentile(rates, percent))


def test_tokens_are_those_of_held_out_documents_without_special_ones(run: Run) -> None:
    corpus_rows = [one for one in run.found if one.task == 0 and not one.metric.startswith("cross_entropy")]

    assert {one.tokens for one in corpus_rows} == {len(run.x)}
    said = finished(run.work, "evaluate").provenance["evaluation"]
    assert list(said.pop("files")) == ["small.jsonl"] and len(said.pop("sha256")) == 64
    assert said == {
        "corpus": "small.jsonl",
        "documents": len(run.texts),
        "tokens": len(run.x),
        "pca_rows": len(run.fitted),
        "pca_components": run.n_components,
        "ce_tokens": None if run.kind == "bert" else predicted(run),
    }


@pytest.mark.parametrize("number", [1, 2])
def test_tasks_are_measured_at_their_labels(number: int, run: Run) -> None:
    task = TASKS[number - 1]
    x = label_rows(task, run.plain)
    found = figures(run.found, number)

    rebuilt = {"dictionary": run.slow.rebuilt(x), "pca": by_svd(x, run.fitted, run.n_components)}
    expected = {(subject, "fvu"): definitions(x, there)["fvu"] for subject, there in rebuilt.items()}
    assert found == pytest.approx(expected, rel=1e-4)
    assert {one.tokens for one in run.found if one.task == number} == {len(task.sentences)}


def label_rows(task: Task, plain: Plain) -> Rows:
    """The block's output at the last token of each sentence's label."""
    rows = []
    for sentence in task.sentences:
        encoded = plain.tokenizer(sentence.text, add_special_tokens=False, return_offsets_mapping=True)
        last = max(i for i, (start, _) in enumerate(encoded["offset_mapping"]) if start < sentence.end)
        (ids,) = plain.windows(sentence.text)
        rows.append(plain.run(ids)[0][last])
    return np.stack(rows)


def predicted(run: Run) -> int:
    """Tokens that have a token of text before them in their window."""
    return sum(ids.shape[1] - run.plain.before - 1 for text in run.texts for ids in run.plain.windows(text))


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_cross_entropy_is_the_loss_of_transformers(kind: str, runs: dict[str, Run]) -> None:
    """With a hook and a loss that know nothing of ours; labels of -100 are what transformers leaves out."""
    run = runs[kind]

    def at_text(rebuild: Callable[[Rows], Rows], ids: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        def replaced(whole: torch.Tensor) -> torch.Tensor:
            out, here = whole.clone(), run.plain.text(ids)
            out[0, here] = torch.from_numpy(rebuild(whole[0, here].double().numpy())).float()
            return out

        return replaced

    rebuilds: dict[str, Callable[[Rows], Rows]] = {
        "dictionary": run.slow.rebuilt,
        "pca": lambda x: by_svd(x, run.fitted, run.n_components),
        "mean": lambda x: np.broadcast_to(run.fitted.mean(axis=0), x.shape).copy(),
    }
    losses = {}
    for subject in ("model", "dictionary", "pca", "zero", "mean"):
        total = 0.0
        for ids in (ids for text in run.texts for ids in run.plain.windows(text)):
            if subject in rebuilds:
                _, logits = run.plain.run(ids, at_text(rebuilds[subject], ids))
            else:
                _, logits = run.plain.run(ids, torch.zeros_like if subject == "zero" else None)
            labels = ids.clone()
            labels[:, : run.plain.before + 1] = -100
            n = int((labels != -100).sum())
            if n:
                loss = run.plain.model.loss_function(logits=logits, labels=labels, vocab_size=logits.shape[-1])
                total += float(loss) * n
        losses[subject] = total / predicted(run)

    found = figures(run.found)
    assert {subject: found[subject, "cross_entropy"] for subject in losses} == pytest.approx(losses, rel=1e-5)
    for subject in ("dictionary", "pca"):
        score = (found["zero", "cross_entropy"] - found[subject, "cross_entropy"]) / (
            found["zero", "cross_entropy"] - found["model", "cross_entropy"]
        )
        assert found[subject, "cross_entropy_score"] == pytest.approx(score)
    assert {one.tokens for one in run.found if one.metric.startswith("cross_entropy")} == {predicted(run)}


def test_encoder_has_no_cross_entropy(runs: dict[str, Run]) -> None:
    assert {metric for _, metric in figures(runs["bert"].found)} & {"cross_entropy", "cross_entropy_score"} == set()
    assert ("model", "cross_entropy") in figures(runs["gpt2"].found)


def test_small_vocabulary_or_large_the_figures_are_the_same(
    runs: dict[str, Run], corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where logits of a whole batch are too many, windows go through the model a few at a time."""
    run = runs["llama"]
    sizes: list[int] = []
    whole = run.model.logits
    monkeypatch.setattr("atlas.evaluation.cross_entropy.LOGITS_AT_ONCE", 2 * WIDTH * len(run.model.embeddings))
    monkeypatch.setattr(run.model, "logits", lambda ids, *rest: sizes.append(len(ids)) or whole(ids, *rest))

    found = evaluate(run.checkpoint, run.model, corpus, tmp_path, CONFIG, TASKS)

    assert max(sizes) == 2
    assert figures(found) == pytest.approx(figures(run.found), rel=1e-6)


def test_counted_tokens_are_those_of_every_pass(run: Run, corpus: Corpus) -> None:
    sentences = sum(len(task.sentences) for task in TASKS)
    passes = 0 if run.kind == "bert" else 5
    plan = held_out_text(run.checkpoint, corpus, run.model.tokenizer, CONFIG)

    # A sentence counts for the 32 tokens that it is padded to.
    assert sum(run.counted) == len(run.fitted) + (1 + passes) * len(run.x) + 32 * sentences
    assert passed_tokens(run.model, plan, CONFIG, TASKS) == pytest.approx(sum(run.counted), rel=0.1)


def test_estimate_grows_with_the_text(runs: dict[str, Run], corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock on which a pass through all blocks takes a second, and one through the whole model three."""
    run = runs["gpt2"]
    plan = held_out_text(run.checkpoint, corpus, run.model.tokenizer, CONFIG)
    monkeypatch.setattr("atlas.evaluation.stage._seconds", lambda work, _model: {"rebuild": 1.0, "predict": 3.0}[work.__name__])
    windows = [len(ids[0]) for text in texts(corpus, True) + texts(corpus, False) for ids in run.plain.windows(text)]
    timed = sum(sorted(windows)[-8:])

    seconds = estimated_seconds(run.checkpoint, run.model, corpus, plan, CONFIG, TASKS)

    predicted = 5 * plan.tokens
    assert seconds == pytest.approx((passed_tokens(run.model, plan, CONFIG, TASKS) - predicted + 3 * predicted) / timed)


# Dictionaries that are perfect, or nothing


def mirror(d_in: int, threshold: float = 0.0) -> Smixae:
    """A dictionary of one expert that gives every row back as it is: plus and minus halves through a narrow slope."""
    config = tiny.dictionary(d_in=d_in, n_experts=1, d_expert=2 * d_in, d_code=d_in, rescale=False).config
    both = torch.cat([torch.eye(d_in), -torch.eye(d_in)])
    weights = tiny.Weights(
        W_enc=both.T.contiguous(),
        b_enc=torch.zeros(2 * d_in),
        # LeakyReLU(x) - LeakyReLU(-x) is (1 + slope) x.
        W_bottleneck=both[None] / (1 + 1e-4),
        W_latent_dec=both.T[None].contiguous() / 2,
        W_dec=both,
        b_dec=torch.zeros(d_in),
    )
    return Smixae(config, weights, threshold)


def test_perfect_dictionary_leaves_nothing_unexplained(models: dict[str, Path], corpus: Corpus, tmp_path: Path) -> None:
    model = LanguageModel.load(str(models["gpt2"]), tiny.HOOKS["gpt2"])
    checkpoint = Checkpoint(mirror(model.d_model), tmp_path, "0" * 64, "smixae")

    found = figures(evaluate(checkpoint, model, corpus, tmp_path / "work", CONFIG, TASKS))

    for subject in ("dictionary", "pca"):
        exact = {"fvu": 0, "fvu_uncentred": 0, "normalised_mse": 0, "cosine": 1, "norm_ratio": 1, "cross_entropy_score": 1}
        assert {metric: found[subject, metric] for metric in exact} == pytest.approx(exact, abs=1e-5)
    assert found["dictionary", "cross_entropy"] == pytest.approx(found["model", "cross_entropy"], rel=1e-6)
    assert found["dictionary", "coordinates_per_token"] == found["pca", "coordinates_per_token"] == model.d_model


def test_dictionary_that_fires_more_than_the_width_is_beside_all_components(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    checkpoint = saved(tmp_path / "checkpoint", threshold=0.0, n_experts=12)

    found = figures(evaluate(checkpoint, bert, corpus, tmp_path / "work", CONFIG, TASKS))

    assert found["dictionary", "coordinates_per_token"] == 36
    assert found["pca", "coordinates_per_token"] == tiny.D_MODEL
    assert found["pca", "fvu"] == pytest.approx(0, abs=1e-9)


def test_dictionary_that_never_fires_is_refused_and_leaves_nothing(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atlas.evaluation.stage.SILENT_TOKENS", 100)
    checkpoint = saved(tmp_path / "checkpoint", threshold=1e9)

    with pytest.raises(
        DictionarySilent, match=r"^No expert fires on any of \d+ held-out tokens; the threshold is 1e\+09\. .*--hook"
    ):
        evaluate(checkpoint, bert, corpus, tmp_path / "work", CONFIG, TASKS)

    assert not (tmp_path / "work").exists()


def test_row_without_length_counts_where_it_can() -> None:
    """A ratio to no length means nothing; of the sums over rows it is a row like the others."""
    smixae = tiny.dictionary(d_in=4, n_experts=2, threshold=0.1)
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(1))
    x[3] = 0
    pca = principal_components(iter([x]), smixae)
    fidelity = Fidelity(smixae, pca)

    fidelity.update(x, 9)

    rows = x.double().numpy()
    rebuilt = smixae.reconstruct(x).double().numpy()
    real = np.arange(9) != 3
    expected = {**definitions(rows[real], rebuilt[real]), "fvu": definitions_fvu(rows, rebuilt)}
    expected["fvu_uncentred"] = ((rows - rebuilt) ** 2).sum() / (rows**2).sum()
    found = {one.metric: one.value for one in fidelity.figures(0, 2, METRICS) if one.subject == "dictionary"}
    assert found == pytest.approx(expected, rel=1e-5)


def definitions_fvu(x: Rows, rebuilt: Rows) -> float:
    return float(((x - rebuilt) ** 2).sum() / ((x - x.mean(axis=0)) ** 2).sum())


def test_rows_far_from_zero_keep_their_figures() -> None:
    """The residual stream of some models has a mean a thousand times longer than its spread."""
    smixae = tiny.dictionary(d_in=6, n_experts=2, threshold=0.1)
    x = torch.randn(400, 6, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 7) + 5000
    fitted, held_out = x[:300], x[300:]
    fidelity = Fidelity(smixae, principal_components(iter([fitted[:256], fitted[256:]]), smixae))

    for start in range(0, 100, 50):
        fidelity.update(held_out[start : start + 50], 50)

    rows = held_out.double().numpy()
    for n_components in range(7):
        rebuilt = by_svd(rows, fitted.double().numpy(), n_components)
        found = {one.metric: one.value for one in fidelity.figures(0, n_components, METRICS) if one.subject == "pca"}
        assert found == pytest.approx(definitions(rows, rebuilt), rel=1e-6, abs=1e-12)


# Which text


def remembering(checkpoint: Checkpoint, documents: list[Document], folder: Path) -> Checkpoint:
    """The same checkpoint, which says that it was trained on these documents."""
    hashes = np.array([document.identity for document in documents], dtype=np.uint64)
    write_arrays(folder / TRAINED_ON_FILE, {"counts": np.zeros(1, dtype=np.int64), "documents": hashes})
    return Checkpoint.load(folder)


def test_documents_that_were_trained_on_are_left_out(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    fifth = [document for document in corpus.read() if document.held_out]
    seen, unseen = fifth[:2], fifth[2:]
    outside = [document for document in corpus.read() if not document.held_out][:3]
    checkpoint = remembering(saved(tmp_path / "checkpoint"), seen + outside, tmp_path / "checkpoint")

    found = evaluate(checkpoint, bert, corpus, tmp_path / "work", CONFIG, TASKS)

    x = Plain(Path(bert.name), "bert").rows([document.text for document in unseen])
    assert found[0].tokens == len(x) < sum(len(bert.tokenizer.tokenize(document.text)) for document in fifth)
    assert figures(found)["dictionary", "fvu"] == pytest.approx(
        definitions(x, Slow(checkpoint.smixae).rebuilt(x))["fvu"], rel=1e-4
    )
    # What was trained on outside the fifth is still what components are fitted to.
    fitted = finished(tmp_path / "work", "evaluate").provenance["evaluation"]["pca_rows"]
    assert fitted == len(Plain(Path(bert.name), "bert").rows(texts(corpus, False)))


def test_limits_end_with_a_window(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    config = replace(CONFIG, tokens=60)
    lengths = [ids.shape[1] - 2 for text in texts(corpus, True) for ids in Plain(Path(bert.name), "bert").windows(text)]
    ends = np.cumsum(lengths)

    found = evaluate(saved(tmp_path / "checkpoint"), bert, corpus, tmp_path / "work", config, TASKS)

    assert found[0].tokens == int(ends[np.searchsorted(ends, 60)]) < 60 + WIDTH - 2


def test_components_are_fitted_to_text_from_everywhere(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    """Else the order of documents would decide how good the components look."""
    config = replace(CONFIG, pca_rows=600)
    backwards = Corpus(corpus.name, corpus.title, corpus.description, lambda: reversed([d.text for d in corpus.read()]))
    checkpoint = saved(tmp_path / "checkpoint")

    one, other = (
        evaluate(checkpoint, bert, text, tmp_path / name, config, TASKS) for name, text in (("a", corpus), ("b", backwards))
    )

    rows = finished(tmp_path / "a", "evaluate").provenance["evaluation"]["pca_rows"]
    assert 300 < rows < 700 < len(Plain(Path(bert.name), "bert").rows(texts(corpus, False)))
    assert finished(tmp_path / "b", "evaluate").provenance["evaluation"]["pca_rows"] == pytest.approx(rows, rel=0.2)
    assert figures(one)["pca", "fvu"] == pytest.approx(figures(other)["pca", "fvu"], rel=0.05)


def test_no_more_chunks_are_read_than_are_needed(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atlas.activations.corpus.CHUNK_CHARACTERS", 700)
    checkpoint = saved(tmp_path / "checkpoint")
    everything = sum(1 for _ in corpus.chunks())

    few = held_out_text(checkpoint, corpus, bert.tokenizer, replace(CONFIG, tokens=40, pca_rows=40))
    whole = held_out_text(checkpoint, corpus, bert.tokenizer, CONFIG)

    assert few.chunks < everything == whole.chunks
    assert few.sha256 != whole.sha256
    assert whole.documents == len(texts(corpus, True))
    exact = len(Plain(Path(bert.name), "bert").rows(texts(corpus, True)))
    assert whole.tokens == pytest.approx(exact, rel=0.2)
    assert (few.tokens, few.pca_rows) == (40, 40)


def test_chunks_do_not_change_what_is_measured(
    bert: LanguageModel, corpus: Corpus, runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atlas.activations.corpus.CHUNK_CHARACTERS", 700)

    found = evaluate(runs["bert"].checkpoint, bert, corpus, tmp_path, CONFIG, TASKS)

    assert figures(found) == pytest.approx(figures(runs["bert"].found), rel=1e-5)


@pytest.mark.parametrize(("held_out", "counts"), [(True, "4 documents .* 0 documents"), (False, "0 documents .* 4 documents")])
def test_corpus_of_one_kind_of_document_is_refused(
    held_out: bool, counts: str, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    path = tmp_path / "text.jsonl"
    path.write_text("\n".join(json.dumps(text) for text in texts(corpus, held_out)[:4]))

    with pytest.raises(CorpusError, match=f"^'text.jsonl' is too small to evaluate on: {counts} outside that fifth.*--corpus"):
        plan = held_out_text(saved(tmp_path / "checkpoint"), load_corpus(str(path)), bert.tokenizer, CONFIG)
        require_enough(load_corpus(str(path)), plan)


@pytest.mark.parametrize("held_out", [True, False])
def test_corpus_of_one_kind_of_document_has_no_figures(
    held_out: bool, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    path = tmp_path / "text.jsonl"
    path.write_text("\n".join(json.dumps(text) for text in texts(corpus, held_out)[:4]))

    found = evaluate(saved(tmp_path / "checkpoint"), bert, load_corpus(str(path)), tmp_path / "work", CONFIG, TASKS)

    assert found == [] and len(finished(tmp_path / "work", "evaluate").tables["evaluation"]["value"]) == 0


def test_few_tokens_without_a_firing_are_a_figure(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "checkpoint", threshold=1e9)

    found = figures(evaluate(checkpoint, bert, corpus, tmp_path / "work", CONFIG, TASKS))

    assert found["dictionary", "experts_per_token"] == found["pca", "coordinates_per_token"] == 0
    assert found["dictionary", "silent"] == checkpoint.smixae.n_experts


def test_text_of_special_tokens_alone_is_refused(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    special = [" ".join(["[SEP]"] * n) for n in range(1, 60)]
    (tmp_path / "special.jsonl").write_text("\n".join(map(json.dumps, special)))

    with pytest.raises(CorpusError, match="'special.jsonl' holds no token but special ones"):
        evaluate(
            saved(tmp_path / "checkpoint"), bert, load_corpus(str(tmp_path / "special.jsonl")), tmp_path / "work", CONFIG, TASKS
        )


# The stage


def test_finished_evaluation_is_skipped_and_gives_the_same(run: Run, corpus: Corpus) -> None:
    counted: list[int] = []

    again = evaluate(run.checkpoint, run.model, corpus, run.work, CONFIG, TASKS, counted=counted.append)

    assert again == run.found == measured(run.work)
    assert counted == []


def test_evaluation_anew_gives_the_same_bytes(runs: dict[str, Run], corpus: Corpus, tmp_path: Path) -> None:
    run = runs["gpt2"]

    evaluate(run.checkpoint, run.model, corpus, tmp_path, CONFIG, TASKS)

    for name in ("tables.safetensors", "tables.json"):
        assert (tmp_path / "evaluate" / name).read_bytes() == (run.work / "evaluate" / name).read_bytes()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"config": replace(CONFIG, tokens=99)}, r"settings \(tokens: 250000, now 99\)"),
        ({"tasks": TASKS[:1]}, "tasks"),
    ],
    ids=["settings", "tasks"],
)
def test_other_inputs_are_refused(changed: dict[str, Any], named: str, runs: dict[str, Run], corpus: Corpus) -> None:
    run = runs["bert"]

    with pytest.raises(WorkOccupied, match=f"evaluate' was made from another {named}"):
        evaluate(run.checkpoint, run.model, corpus, run.work, **({"config": CONFIG, "tasks": TASKS} | changed))


def test_work_folder_with_the_harvest_of_another_dictionary_is_refused(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    harvest(saved(tmp_path / "one"), bert, [corpus], tmp_path / "work", HarvestConfig(stream=CONFIG.stream))

    with pytest.raises(WorkOccupied, match="harvest' was made from another checkpoint"):
        evaluate(saved(tmp_path / "other", seed=1), bert, corpus, tmp_path / "work", CONFIG, TASKS)


def test_missing_evaluation_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(StageMissing, match="holds no finished evaluate. Run `atlas evaluate`"):
        measured(tmp_path)


def test_training_log_goes_into_its_table(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "checkpoint")
    logged = [{"step": 10, "loss": 2.5, "dead": 3}, {"step": 20, "loss": math.nan, "dead": 4}]
    (tmp_path / "checkpoint" / TRAINING_LOG_FILE).write_text("".join(json.dumps(entry) + "\n" for entry in logged))

    evaluate(checkpoint, bert, corpus, tmp_path / "work", CONFIG, TASKS)

    table = finished(tmp_path / "work", "evaluate").tables["training_log"]
    rows = [list(table[name]) for name in ("step", "metric", "value")]
    # A loss that is no number has no row.
    assert rows == [[10, 10, 20], ["loss", "dead", "dead"], [2.5, 3.0, 4.0]]


def test_checkpoint_without_a_log_leaves_an_empty_table(run: Run) -> None:
    assert [len(column) for column in finished(run.work, "evaluate").tables["training_log"].values()] == [0, 0, 0]


def test_changed_log_is_another_input(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "checkpoint")
    evaluate(checkpoint, bert, corpus, tmp_path / "work", CONFIG, TASKS)
    (tmp_path / "checkpoint" / TRAINING_LOG_FILE).write_text('{"step": 1, "loss": 2}\n')

    with pytest.raises(WorkOccupied, match="another training_log"):
        evaluate(checkpoint, bert, corpus, tmp_path / "work", CONFIG, TASKS)


@pytest.mark.parametrize("name", ["tokens", "pca_rows", "ce_tokens"])
def test_settings_of_nothing_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name} is 0; an evaluation reads at least 1 token.$"):
        EvaluationConfig(**{name: 0})


def test_model_of_another_width_is_refused(bert: LanguageModel, corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has 16 numbers per token"):
        evaluate(saved(tmp_path / "checkpoint", d_in=8), bert, corpus, tmp_path / "work", CONFIG, TASKS)


def test_rows_that_are_not_finite_are_refused(models: dict[str, Path], corpus: Corpus, tmp_path: Path) -> None:
    model = LanguageModel.load(str(models["bert"]), tiny.HOOKS["bert"])
    with torch.no_grad():
        model.embeddings[5:] = float("nan")

    with pytest.raises(ModelError, match="not finite"):
        evaluate(saved(tmp_path / "checkpoint"), model, corpus, tmp_path / "work", CONFIG, TASKS)

    assert not (tmp_path / "work").exists()


def test_cross_entropy_that_is_not_finite_is_refused(models: dict[str, Path], corpus: Corpus, tmp_path: Path) -> None:
    """Rows at the hook may be sound where what comes after them is not."""
    model = LanguageModel.load(str(models["gpt2"]), tiny.HOOKS["gpt2"])
    dict(model._model.named_parameters())["transformer.h.2.mlp.c_fc.bias"].fill_(float("inf"))

    with pytest.raises(ModelError, match="predicts held-out text with a cross-entropy that is not finite"):
        evaluate(saved(tmp_path / "checkpoint", "gpt2"), model, corpus, tmp_path / "work", CONFIG, TASKS)
