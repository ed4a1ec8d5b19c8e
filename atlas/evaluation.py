"""The evaluate stage: how faithfully a dictionary rebuilds text that it was not trained on, beside plain principal components.

Held-out rows come from documents of the fifth that a hash chooses, so that they are the same for every dictionary; those that
this one was trained on are left out. Documents outside the fifth give the principal components, and the mean of mean-ablation.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from atlas.activations.corpus import Corpus, Document, TextHash
from atlas.activations.model import LanguageModel, Specials
from atlas.activations.stream import (
    BLOCK_ROWS,
    PADDING_STEP,
    StreamConfig,
    Window,
    batches,
    blocks,
    chunk_windows,
    padded,
    require_finite,
)
from atlas.dictionary import Checkpoint, Smixae
from atlas.dictionary.training_log import read_log
from atlas.errors import ConfigError, CorpusError, DictionarySilent, ModelError
from atlas.harvest.harvest import SILENT_TOKENS, describe_model, require_same_width
from atlas.probe.rows import task_rows
from atlas.probe.tasks import Task
from atlas.stages import Column, Stage, fingerprint, finished, is_finished, require_same_inputs, versions

STAGE = "evaluate"

DENSE_RATE = 0.1
"""An expert that fires on more than this share of tokens is dense."""

RATE_QUANTILES = (0, 10, 50, 90, 100)
"""Percentiles over experts at which the firing rate is kept."""

LOGITS_AT_ONCE = 2**28
"""Most numbers that the logits of one forward pass hold: a gigabyte."""

CE_PASSES = 5
"""Forward passes of the whole model over the tokens of cross-entropy."""

TIMED_WINDOWS = 8
"""Windows that an evaluation's time is estimated from."""


@dataclass(frozen=True)
class EvaluationConfig:
    """How much text fidelity is measured on."""

    tokens: int = 250_000
    """About how many held-out tokens are read."""
    pca_rows: int = 32_768
    """Rows outside the held-out fifth that the principal components are fitted to, or as many as there are.

    Their windows are chosen by a hash, from all of the text that is read, since the first ones may be of one kind.
    """
    ce_tokens: int = 50_000
    """Most held-out tokens that cross-entropy is measured on: the whole model runs five times over them."""
    stream: StreamConfig = field(default_factory=StreamConfig)

    def __post_init__(self) -> None:
        for name in ("tokens", "pca_rows", "ce_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; an evaluation reads at least 1 token.")


class HeldOut(NamedTuple):
    """What is to be read, found in one pass over the text without the model."""

    chunks: int
    documents: int
    """Held-out ones: of the fifth, and not trained on."""
    others: int
    """Those outside the fifth."""
    tokens: int
    """About how many they hold, by the first chunk's tokens per character, and at most as many as are wanted."""
    pca_rows: int
    """About how many tokens outside the fifth are read, likewise."""
    pca_share: float
    """What share of them that is, from 0 to 1."""
    sha256: str
    """Of all documents of the chunks, in order."""

    @property
    def suffices(self) -> bool:
        """Whether there is text of both kinds, without which there is nothing to measure, or nothing to compare it with."""
        return self.documents > 0 and self.others > 0


class Measured(NamedTuple):
    """One figure: a row of the table `evaluation`."""

    task: int
    """0 is the corpus."""
    subject: str
    """What takes the place of the model's own rows: dictionary, pca, zero, mean; model where nothing does."""
    metric: str
    value: float
    """NaN where it could not be measured."""
    tokens: int
    """Tokens that it was measured on."""


def held_out_text(checkpoint: Checkpoint, corpus: Corpus, tokenizer: Any, config: EvaluationConfig) -> HeldOut:
    """Return how much of the corpus is read: up to the end of the chunk that brings both kinds of documents to what is wanted."""
    text = TextHash()
    held_out = others = held_out_characters = other_characters = chunks = 0
    first_tokens, first_characters = 0, 1
    for chunk in corpus.chunks():
        if not chunks:
            first_tokens = sum(len(document.tokens(tokenizer)) for document in chunk)
            first_characters = max(sum(document.characters for document in chunk), 1)
        for document in chunk:
            text.add(document)
            if _is_held_out(document, checkpoint):
                held_out += 1
                held_out_characters += document.characters
            elif _is_outside(document):
                others += 1
                other_characters += document.characters
        chunks += 1
        enough = held_out_characters * first_tokens >= config.tokens * first_characters
        if enough and other_characters * first_tokens >= config.pca_rows * first_characters:
            break

    def about(characters: int, most: int) -> int:
        return min(most, round(characters * first_tokens / first_characters))

    tokens, pca_rows = about(held_out_characters, config.tokens), about(other_characters, config.pca_rows)
    share = pca_rows * first_characters / max(other_characters * first_tokens, 1)
    return HeldOut(chunks, held_out, others, tokens, pca_rows, min(share, 1.0), text.sha256())


def require_enough(corpus: Corpus, plan: HeldOut) -> None:
    """Raise CorpusError unless there is held-out text to measure on, and other text to compare with."""
    if not plan.suffices:
        raise CorpusError(
            f"'{corpus.name}' is too small to evaluate on: {_documents(plan.documents)} held out from the dictionary's "
            f"training and {_documents(plan.others)} outside that fifth; one of each is needed at least. Name a larger corpus "
            "with --corpus."
        )


def evaluate(
    checkpoint: Checkpoint,
    model: LanguageModel,
    corpus: Corpus,
    work: Path,
    config: EvaluationConfig,
    tasks: Sequence[Task],
    plan: HeldOut | None = None,
    counted: Callable[[int], None] = lambda _: None,
) -> list[Measured]:
    """Measure a dictionary's fidelity, keep the figures in `work/evaluate`, and return them in reading order.

    Of a corpus that is too small to hold text out there are none.

    `plan` is what `held_out_text` gave where it has been called already; `counted` is told the tokens of every block, once for
    each forward pass, as `passed_tokens` counts them.

    Raises:
        WorkOccupied: the folder holds an evaluation of other inputs, or the harvest of another dictionary or model.
        CorpusError: the corpus has too little text to hold some of it out.
        ModelError: the model's width is not the dictionary's, or it returns a value that is not finite.
        DictionarySilent: no expert fires on thousands of tokens.
    """
    require_same_width(checkpoint, model)
    plan = plan or held_out_text(checkpoint, corpus, model.tokenizer, config)
    inputs = evaluation_inputs(checkpoint, model, corpus, plan, config, tasks)
    stage = Stage(work, STAGE, inputs)
    if is_evaluated(work, inputs):
        return measured(work)
    log = _log_columns(read_log(checkpoint.path))
    if not plan.suffices:
        stage.finish({"evaluation": _columns([]), "training_log": log}, {"settings": {"evaluate": inputs["settings"]}})
        return []
    text = _Text(corpus, checkpoint, plan, model, config, counted)
    smixae = checkpoint.smixae

    outside = text.blocks(_is_outside, config.pca_rows, plan.pca_share)
    pca = principal_components((x[:n] for x, n in outside), smixae)
    on_corpus = Fidelity(smixae, pca)
    for x, n in text.blocks(text.is_held_out, config.tokens):
        on_corpus.update(x, n)
    if not on_corpus.tokens or not pca.rows:
        raise CorpusError(
            f"The corpus '{corpus.name}' holds no token but special ones in its documents held out, or in the others."
        )
    if on_corpus.tokens >= SILENT_TOKENS and not on_corpus.firings.any():
        raise DictionarySilent(
            f"No expert fires on any of {on_corpus.tokens:,} held-out tokens; the threshold is {smixae.threshold:.3g}. It is "
            "probably the wrong layer or model: check --model and --hook."
        )
    coordinates = float(on_corpus.firings.sum()) / on_corpus.tokens * smixae.d_code
    # Rounded from what is reported, so that both rebuild a token from equally many numbers; a basis has no more than d_in.
    n_components = min(round(coordinates), smixae.d_in)

    found = _corpus_figures(on_corpus, n_components)
    entropies = None
    if model.has_head:
        entropies = cross_entropies(text, smixae, pca, n_components)
        found += _entropy_figures(entropies)
    for number, task in enumerate(tasks, start=1):
        x = task_rows(task, model, config.stream).x
        on_task = Fidelity(smixae, pca)
        for block, n in _blocks(x):
            on_task.update(block, n)
        found += on_task.figures(number, n_components, ("fvu",))
        counted(len(x) * PADDING_STEP)
    about = {
        "corpus": corpus.title,
        "documents": plan.documents,
        "tokens": on_corpus.tokens,
        "pca_rows": pca.rows,
        "pca_components": n_components,
        "ce_tokens": entropies.tokens if entropies else None,
    }
    stage.finish(
        {"evaluation": _columns(found), "training_log": log},
        {"evaluation": about, "settings": {"evaluate": inputs["settings"]}},
    )
    return measured(work)


def passed_tokens(model: LanguageModel, plan: HeldOut, config: EvaluationConfig, tasks: Sequence[Task]) -> int:
    """Return about how many tokens go through the model, once for each pass; a task's sentence counts as what it is padded to."""
    sentences = sum(len(task.templates) * len(task.labels) for task in tasks)
    return plan.pca_rows + plan.tokens + sentences * PADDING_STEP + _predicted_tokens(model, plan, config)


def estimated_seconds(
    checkpoint: Checkpoint, model: LanguageModel, corpus: Corpus, plan: HeldOut, config: EvaluationConfig, tasks: Sequence[Task]
) -> float:
    """Return about how long an evaluation takes, by the longest windows of the corpus' first chunk, run once to warm up."""
    smixae = checkpoint.smixae
    windows = chunk_windows(next(corpus.chunks()), model.tokenizer, config.stream)
    longest = sorted(windows, key=lambda window: -len(window.token_ids))[:TIMED_WINDOWS]
    if not longest:
        return 0.0
    basis = torch.eye(smixae.d_in, dtype=torch.float64, device=smixae.device)
    fidelity = Fidelity(smixae, Components(torch.zeros_like(basis[0]), basis, 0))

    def rebuild() -> None:
        for x, tokens in blocks(longest, model, config.stream):
            fidelity.update(x, len(tokens.document))

    def predict() -> None:
        ids, attended, _ = padded(longest, Specials(model.tokenizer))
        model.logits(ids.to(model.device), attended.to(model.device))

    n = sum(len(window.token_ids) for window in longest)
    predicted = _predicted_tokens(model, plan, config)
    seconds = _seconds(rebuild, model) / n * (passed_tokens(model, plan, config, tasks) - predicted)
    return seconds + (_seconds(predict, model) / n * predicted if predicted else 0.0)


def _predicted_tokens(model: LanguageModel, plan: HeldOut, config: EvaluationConfig) -> int:
    return CE_PASSES * min(plan.tokens, config.ce_tokens) if model.has_head else 0


def _seconds(work: Callable[[], None], model: LanguageModel) -> float:
    """Return how long some work takes the second time."""
    started = 0.0
    for _ in range(2):
        started = time.perf_counter()
        work()
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)
    return time.perf_counter() - started


def measured(work: Path) -> list[Measured]:
    """Return the figures of the finished evaluation in a work folder, in reading order.

    Raises:
        StageMissing: there is none.
    """
    columns = finished(work, STAGE).tables["evaluation"]
    rows = zip(*(columns[name] for name in Measured._fields), strict=True)
    return [Measured(int(task), subject, metric, float(value), int(tokens)) for task, subject, metric, value, tokens in rows]


def is_evaluated(work: Path, inputs: Mapping[str, Any]) -> bool:
    """Return whether the work folder holds the evaluation that these inputs give.

    Raises:
        WorkOccupied: it holds one of other inputs, or the harvest of another dictionary or model.
    """
    require_own(work, inputs)
    return is_finished(work, STAGE)


def require_own(work: Path, known: Mapping[str, Any]) -> None:
    """Compare what is known of an evaluation's inputs with the evaluation and the harvest in the work folder.

    Raises:
        WorkOccupied: they differ; of a harvest, in the dictionary or the model.
    """
    wanted = json.loads(json.dumps(known))
    for stage, keys in ((STAGE, wanted), ("harvest", wanted.keys() & {"checkpoint", "model"})):
        if is_finished(work, stage):
            inputs = fingerprint(work, stage)
            require_same_inputs(work / stage, {key: inputs.get(key) for key in keys}, {key: wanted[key] for key in keys})


def known_inputs(
    checkpoint: Checkpoint, corpus: Corpus, plan: HeldOut, config: EvaluationConfig, tasks: Sequence[Task]
) -> dict[str, Any]:
    """Return those inputs of an evaluation that are known before its model is loaded."""
    log = read_log(checkpoint.path)
    return {
        "checkpoint": checkpoint.sha256,
        "trained_on": checkpoint.trained_on.sha256 if checkpoint.trained_on else None,
        "training_log": hashlib.sha256(json.dumps(log).encode()).hexdigest() if log else None,
        "corpus": {"name": corpus.name, "sha256": plan.sha256},
        "tasks": {task.name: hashlib.sha256(repr(task).encode()).hexdigest() for task in tasks},
        "settings": asdict(config),
    }


def evaluation_inputs(
    checkpoint: Checkpoint,
    model: LanguageModel,
    corpus: Corpus,
    plan: HeldOut,
    config: EvaluationConfig,
    tasks: Sequence[Task],
) -> dict[str, Any]:
    """Return everything that determines the result of an evaluation."""
    return {
        **known_inputs(checkpoint, corpus, plan, config, tasks),
        "model": describe_model(model),
        "device": {
            "type": model.device.type,
            "dtype": model.dtype,
            "threads": torch.get_num_threads(),
            "block_rows": BLOCK_ROWS[model.device.type],
        },
        "versions": versions("torch", "transformers", "tokenizers", "numpy"),
    }


class _Text:
    """The documents that an evaluation reads, as windows and as rows."""

    def __init__(
        self,
        corpus: Corpus,
        checkpoint: Checkpoint,
        plan: HeldOut,
        model: LanguageModel,
        config: EvaluationConfig,
        counted: Callable[[int], None],
    ) -> None:
        self.model = model
        self.config = config
        self.counted = counted
        self._corpus = corpus
        self._checkpoint = checkpoint
        self._plan = plan

    def is_held_out(self, document: Document) -> bool:
        return _is_held_out(document, self._checkpoint)

    def windows(self, belongs: Callable[[Document], bool], tokens: int, share: float = 1.0) -> Iterator[list[Window]]:
        """Yield the windows of each chunk's documents that belong, up to the one that brings them to so many tokens.

        Of these windows a hash of what they hold chooses about a share.
        """
        left = tokens
        for chunk in islice(self._corpus.chunks(), self._plan.chunks):
            taken = []
            for window in chunk_windows(filter(belongs, chunk), self.model.tokenizer, self.config.stream):
                if left > 0 and window.content < share * 2**63:
                    taken.append(window)
                    left -= len(window.token_ids)
            yield taken
            if left <= 0:
                return

    def blocks(
        self, belongs: Callable[[Document], bool], tokens: int, share: float = 1.0
    ) -> Iterator[tuple[Float[Tensor, "row d_in"], int]]:
        """Yield the rows of those windows in blocks of the one recorded size, with how many rows of each are real.

        Raises:
            ModelError: a row is not finite.
        """
        for windows in self.windows(belongs, tokens, share):
            for block in blocks(windows, self.model, self.config.stream):
                require_finite(block, self.model)
                n = len(block.tokens.document)
                yield block.x, n
                self.counted(n)


class Components(NamedTuple):
    """Principal components of rows."""

    mean: Float64[Tensor, "d_in"]
    directions: Float64[Tensor, "d_in component"]
    """All of them, of unit length, widest first."""
    rows: int
    """Rows that they were fitted to."""

    def rebuilt(self, x: Float[Tensor, "token d_in"], n_components: int) -> Float[Tensor, "token d_in"]:
        """Return rows rebuilt from their coordinates along the widest directions."""
        widest = self.directions[:, :n_components]
        return (self.mean + (x.double() - self.mean) @ widest @ widest.T).to(x.dtype)


def principal_components(parts: Iterator[Float[Tensor, "token d_in"]], smixae: Smixae) -> Components:
    """Return the principal components of rows that are read part by part."""
    rows = 0
    total = torch.zeros(smixae.d_in, dtype=torch.float64, device=smixae.device)
    products = torch.zeros(smixae.d_in, smixae.d_in, dtype=torch.float64, device=smixae.device)
    for part in parts:
        x = part.double()
        rows += len(x)
        total += x.sum(dim=0)
        products += x.T @ x
    mean = total / max(rows, 1)
    _, directions = torch.linalg.eigh(products - rows * torch.outer(mean, mean))
    return Components(mean, directions.flip(1), rows)


class Errors:
    """Sums over rows of how far they are from what takes their place, in each of several ways at once."""

    def __init__(self, n_ways: int, device: torch.device) -> None:
        self._rows = 0
        """With a length: a ratio to none would mean nothing."""
        self.squared: Float64[Tensor, "way"]
        self.squared, self._cosine, self._norm_ratio, self._normalised = (
            torch.zeros(n_ways, dtype=torch.float64, device=device) for _ in range(4)
        )

    def update(
        self,
        length: Float64[Tensor, "token"],
        rebuilt: Float64[Tensor, "token way"],
        inner: Float64[Tensor, "token way"],
        error: Float64[Tensor, "token way"],
    ) -> None:
        """Add rows of such squared lengths: those of what takes their place, its inner product with them, the squared error."""
        self.squared += error.sum(dim=0)
        real = length > 0
        length, rebuilt, inner, error = length[real, None], rebuilt[real], inner[real], error[real]
        self._rows += len(length)
        # What has no length points nowhere: its cosine counts as 0.
        self._cosine += torch.where(rebuilt > 0, inner / (length * rebuilt).sqrt(), 0.0).sum(dim=0)
        self._norm_ratio += (rebuilt / length).sqrt().sum(dim=0)
        self._normalised += (error / length).sum(dim=0)

    def means(self, way: int) -> dict[str, float]:
        """Return the metrics that are means over rows."""
        sums = {"cosine": self._cosine, "norm_ratio": self._norm_ratio, "normalised_mse": self._normalised}
        return {name: _ratio(float(total[way]), self._rows) for name, total in sums.items()}


class Fidelity:
    """How well rows are rebuilt by a dictionary, and by every number of principal components.

    How many components a dictionary is to be compared with is known only after its last row, and an estimate would compare it
    with more or fewer. Along its components a row is a sum of independent parts, so running sums give every number of them in
    the one pass that the dictionary needs anyway.
    """

    def __init__(self, smixae: Smixae, pca: Components) -> None:
        self.smixae = smixae
        self._pca = pca
        self._mean_along = pca.mean @ pca.directions
        self.tokens = 0
        self.firings: Int64[Tensor, "expert"] = torch.zeros(smixae.n_experts, dtype=torch.int64, device=smixae.device)
        self._length = 0.0
        # About the components' mean, which is near that of the rows, so that little is lost when theirs is taken off.
        self._spread = 0.0
        self._offset = torch.zeros_like(pca.mean)
        self.errors = {"dictionary": Errors(1, smixae.device), "pca": Errors(smixae.d_in + 1, smixae.device)}
        """Of the components, one way for every number of them from 0."""

    def update(self, x: Float[Tensor, "row d_in"], n: int) -> None:
        """Add the first `n` rows of a block."""
        firings = self.smixae.firings(x)
        rebuilt = self.smixae.reconstruction(firings, x)[:n].double()
        rows = x[:n].double()
        length = rows.square().sum(dim=1)
        self.tokens += n
        self.firings += torch.bincount(firings.expert[firings.token < n], minlength=len(self.firings))
        self.errors["dictionary"].update(
            length,
            rebuilt.square().sum(dim=1, keepdim=True),
            (rows * rebuilt).sum(dim=1, keepdim=True),
            (rows - rebuilt).square().sum(dim=1, keepdim=True),
        )
        centred = rows - self._pca.mean
        along = centred @ self._pca.directions
        squares = along.square()
        # The mean is there with any number of components; entry k of a running sum is over the first k of them.
        mean_squared = self._pca.mean.square().sum()
        inner = (rows @ self._pca.mean)[:, None] + _running(squares + along * self._mean_along)
        self.errors["pca"].update(
            length,
            (mean_squared + _running(squares + 2 * along * self._mean_along)).clamp_min(0),
            inner,
            _running(squares.flip(1)).flip(1),
        )
        self._length += float(length.sum())
        self._spread += float(squares.sum())
        self._offset += centred.sum(dim=0)

    def figures(self, task: int, n_components: int, metrics: Sequence[str]) -> list[Measured]:
        """Return the metrics of the dictionary, and of so many principal components."""
        variance = self._spread - float(self._offset.square().sum()) / max(self.tokens, 1)
        found = {}
        for subject, way in (("dictionary", 0), ("pca", n_components)):
            errors = self.errors[subject]
            squared = float(errors.squared[way])
            found[subject] = {
                "fvu": _ratio(squared, variance),
                "fvu_uncentred": _ratio(squared, self._length),
                **errors.means(way),
            }
        return [Measured(task, subject, name, values[name], self.tokens) for name in metrics for subject, values in found.items()]


def _running(parts: Float64[Tensor, "token component"]) -> Float64[Tensor, "token way"]:
    """Return the sums of the first k parts, for every k from 0."""
    return pad(parts.cumsum(dim=1), (1, 0))


class CrossEntropies(NamedTuple):
    """Mean cross-entropy of the next token, in nats, by what takes the place of the hook's output."""

    tokens: int
    """Tokens that were predicted."""
    model: float
    """Nothing does."""
    dictionary: float
    pca: float
    zero: float
    mean: float


Rebuild = Callable[[Float[Tensor, "token d_in"]], Float[Tensor, "token d_in"]]


def cross_entropies(text: _Text, smixae: Smixae, pca: Components, n_components: int) -> CrossEntropies:
    """Return how well the model predicts held-out text with its hook's output kept, rebuilt, zeroed and averaged away.

    Text predicts text: pairs of tokens of which one is special are left out. Rows of special tokens stay as the model has them,
    but that `zero` takes the whole output, as the reference does. `mean` is that of the rows that the components are fitted to.

    Raises:
        ModelError: a cross-entropy is not finite.
    """
    rebuilds: dict[str, Rebuild] = {
        "dictionary": lambda x: torch.cat([smixae.reconstruct(block)[:n] for block, n in _blocks(x)] or [x]),
        "pca": lambda x: pca.rebuilt(x, n_components),
        "mean": lambda x: pca.mean.to(x.dtype).expand_as(x),
    }
    sums = dict.fromkeys(("model", "dictionary", "pca", "zero", "mean"), 0.0)
    tokens = 0
    model, specials = text.model, Specials(text.model.tokenizer)
    for windows in text.windows(text.is_held_out, text.config.ce_tokens):
        for batch in _small_batches(windows, model, text.config.stream):
            ids, attended, kept = (part.to(model.device) for part in padded(batch, specials))
            pairs = kept[:, :-1] & kept[:, 1:]
            targets = ids[:, 1:][pairs]
            for subject in sums:
                replace = None if subject == "model" else _replacing(rebuilds.get(subject), kept)
                logits = model.logits(ids, attended, replace)[:, :-1][pairs]
                sums[subject] += float(cross_entropy(logits, targets, reduction="none").double().sum())
                text.counted(int(kept.sum()))
            tokens += len(targets)
    if not np.isfinite(list(sums.values())).all():
        hint = "" if model.dtype == "float32" else " Try --dtype float32."
        raise ModelError(f"'{model.name}' predicts held-out text with a cross-entropy that is not finite.{hint}")
    return CrossEntropies(tokens, **{subject: _ratio(total, tokens) for subject, total in sums.items()})


def _replacing(
    rebuild: Rebuild | None, kept: Bool[Tensor, "window position"]
) -> Callable[[Float[Tensor, "window position d_in"]], Float[Tensor, "window position d_in"]]:
    """Return what puts rebuilt rows in the place of those of text, or zeros in the place of all."""

    def replace(output: Float[Tensor, "window position d_in"]) -> Float[Tensor, "window position d_in"]:
        if rebuild is None:
            return torch.zeros_like(output)
        replaced = output.clone()
        replaced[kept] = rebuild(output[kept])
        return replaced

    return replace


def _small_batches(windows: list[Window], model: LanguageModel, config: StreamConfig) -> Iterator[list[Window]]:
    """Yield batches of windows of one length whose logits are held at once: with a large vocabulary those are few."""
    for batch in batches(windows, model.tokenizer, config):
        size = max(1, LOGITS_AT_ONCE // (config.window_tokens * len(model.embeddings)))
        for start in range(0, len(batch), size):
            yield batch[start : start + size]


def _corpus_figures(on_corpus: Fidelity, n_components: int) -> list[Measured]:
    """Return what is measured on the corpus without a language-model head."""
    tokens = on_corpus.tokens
    rates = on_corpus.firings.cpu().numpy() / tokens
    d_code = on_corpus.smixae.d_code
    found = on_corpus.figures(0, n_components, ("fvu", "fvu_uncentred", "cosine", "norm_ratio", "normalised_mse"))
    experts = float(rates.sum())
    of_dictionary = {
        "experts_per_token": experts,
        "coordinates_per_token": experts * d_code,
        "silent": float((rates == 0).sum()),
        "dense": float((rates > DENSE_RATE).sum()),
        **{f"rate_q{q}": float(np.quantile(rates, q / 100)) for q in RATE_QUANTILES},
    }
    for metric, value in of_dictionary.items():
        found.append(Measured(0, "dictionary", metric, value, tokens))
        if metric == "coordinates_per_token":
            found.append(Measured(0, "pca", metric, float(n_components), tokens))
    return found


def _entropy_figures(found: CrossEntropies) -> list[Measured]:
    """Return the cross-entropies, and for what rebuilds rows the share of the zeroed model's loss that it avoids."""
    values = found._asdict()
    del values["tokens"]
    figures = [Measured(0, subject, "cross_entropy", value, found.tokens) for subject, value in values.items()]
    for subject in ("dictionary", "pca"):
        score = _ratio(found.zero - values[subject], found.zero - found.model)
        figures.append(Measured(0, subject, "cross_entropy_score", score, found.tokens))
    return figures


def _columns(found: Sequence[Measured]) -> dict[str, Column]:
    return {
        "task": np.array([one.task for one in found], dtype=np.int32),
        "subject": [one.subject for one in found],
        "metric": [one.metric for one in found],
        "value": np.array([one.value for one in found]),
        "tokens": np.array([one.tokens for one in found], dtype=np.int64),
    }


def _log_columns(log: Sequence[Mapping[str, float]]) -> dict[str, Column]:
    """Return a training's log with a row for every figure of every step; one that is not a number has none."""
    rows = [
        (int(entry["step"]), metric, float(value))
        for entry in log
        for metric, value in entry.items()
        if metric != "step" and np.isfinite(value)
    ]
    return {
        "step": np.array([step for step, _, _ in rows], dtype=np.int64),
        "metric": [metric for _, metric, _ in rows],
        "value": np.array([value for _, _, value in rows], dtype=np.float64),
    }


def _blocks(x: Float[Tensor, "row d_in"]) -> Iterator[tuple[Float[Tensor, "row_of_block d_in"], int]]:
    """Yield rows in blocks of the one recorded size, with how many of each are real."""
    size = BLOCK_ROWS[x.device.type]
    for start in range(0, len(x), size):
        part = x[start : start + size]
        yield pad(part, (0, 0, 0, size - len(part))), len(part)


def _is_held_out(document: Document, checkpoint: Checkpoint) -> bool:
    known = checkpoint.trained_on
    return document.held_out and not (known and known.includes(document.identity))


def _is_outside(document: Document) -> bool:
    """Return whether a document lies outside the fifth that is held out: there, whether it was trained on does not matter."""
    return not document.held_out


def _ratio(part: float, whole: float | int) -> float:
    """Return a ratio; NaN where there is nothing to divide by."""
    return part / whole if whole else float("nan")


def _documents(n: int) -> str:
    return f"{n:,} document{'s' if n != 1 else ''}"
