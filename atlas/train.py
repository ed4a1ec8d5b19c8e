"""The train stage: text ► residual-stream rows ► a checkpoint of our own."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from atlas.activations.corpus import HELD_OUT_SHARE, Corpus
from atlas.activations.model import LanguageModel
from atlas.activations.pool import Pool, PoolReader
from atlas.activations.stream import StreamConfig
from atlas.checkpoints import WEIGHTS_FILE
from atlas.dictionary import Smixae, save
from atlas.dictionary.as_written import seal
from atlas.dictionary.training import Step, Training, TrainingConfig
from atlas.dictionary.training_checkpoint import Place, Seen, inputs_of, resume, save_training, saved, steps_of, sweep_checkpoints
from atlas.dictionary.training_log import TRAINING_LOG_FILE, append, cut
from atlas.errors import ConfigError, CorpusError
from atlas.files import writing
from atlas.harvest.inputs import describe_model
from atlas.harvest.survey import Survey, survey
from atlas.stages import Stage, fingerprint, is_finished, require_same_inputs, versions

STAGE = "train"
CHECKPOINT = "checkpoint"
"""The folder, in the stage's, that holds the trained dictionary."""
UNDER_WAY = "under_way"
"""The folder, in the stage's, that holds what a training saves of itself until it is finished."""

CALIBRATION_ROWS = 131_072
"""Held-out rows that the threshold is measured on."""


@dataclass(frozen=True)
class TrainConfig:
    """What a dictionary is trained on, and how."""

    carrier_share: float = 0.0
    """Largest share of the training tokens that carrier sentences may have; the demo takes 0.05."""
    buffer_rows: int = 524_288
    """Rows that are held and shuffled at once."""
    stream: StreamConfig = field(default_factory=StreamConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.carrier_share <= 0.5:
            raise ConfigError(f"carrier_share is {self.carrier_share}; give a share from 0 to 0.5.")
        if self.buffer_rows < self.training.batch:
            raise ConfigError(
                f"The buffer holds {self.buffer_rows} rows, fewer than one batch of {self.training.batch}; "
                "give a larger --buffer-rows."
            )

    @property
    def rows(self) -> int:
        """Rows that all steps take together."""
        return self.training.steps * self.training.batch

    @property
    def surveyed_tokens(self) -> int:
        """Tokens of the corpus that are read before training begins: about those of the first buffer, held-out ones too."""
        return math.ceil(min(self.buffer_rows, self.rows) / (1 - HELD_OUT_SHARE))


@dataclass(frozen=True)
class Watch:
    """Who is told how a training goes, and who may stop it."""

    reading: Callable[[int], None] = lambda _: None
    """Rows read so far of the pool that is being read, or in the end of held-out text."""
    stepped: Callable[[int], None] = lambda _: None
    """Steps taken so far."""
    logged: Callable[[int, Mapping[str, float]], None] = lambda _step, _metrics: None
    """A step that was logged."""
    interrupted: Callable[[], bool] = lambda: False
    """Whether to save and stop."""


def train_stage(
    model: LanguageModel,
    corpus: Corpus,
    work: Path,
    config: TrainConfig,
    watch: Watch = Watch(),
    plan: Survey | None = None,
    log_every: int = 10,
    save_every: int | None = None,
) -> Path:
    """Train a SMIXAE on the corpus' documents that are not held out, and return the folder of its checkpoint.

    Every `save_every` steps (a twentieth of them unless said otherwise) the training is saved, and one that was stopped goes on
    from there: on a CPU, to the same bits. `plan` is the survey of the corpus where it has been made already.

    Raises:
        KeyboardInterrupt: `watch.interrupted` said so; the training is saved.
        WorkOccupied: the work folder holds a dictionary trained from other inputs.
        ConfigError: there is less text than one batch.
        CorpusError: there are too few documents to hold some of them out, or they changed since the training was saved.
        ModelError: the model returns a value that is not finite.
        TrainingDiverged: the loss is no number any more; the last good checkpoint is kept.
        StorageError: a checkpoint cannot be written; the last good one is kept.
    """
    plan = plan or survey(corpus, model.tokenizer, config.surveyed_tokens)
    require_documents(corpus, plan)
    stage = Stage(work, STAGE, train_inputs(model, corpus, plan, config))
    if not _is_whole(stage):
        _Run(model, corpus, stage, config, watch, log_every, save_every or max(1, config.training.steps // 20)).finish()
    # Maybe of a run that was killed before it came to this.
    shutil.rmtree(stage.folder / UNDER_WAY, ignore_errors=True)
    return stage.folder / CHECKPOINT


class _Run:
    """One training, from where earlier runs of it left it."""

    def __init__(
        self,
        model: LanguageModel,
        corpus: Corpus,
        stage: Stage,
        config: TrainConfig,
        watch: Watch,
        log_every: int,
        save_every: int,
    ) -> None:
        self.model, self.corpus, self.stage, self.config, self.watch = model, corpus, stage, config, watch
        self.log_every, self.save_every = log_every, save_every
        self.root = stage.folder / UNDER_WAY
        self.origin = corpus.origin()
        self.reader = PoolReader(model, corpus, config.stream, config.carrier_share, config.training.seed)
        self.training: Training | None = None
        self.place = Place()
        self.used_up = Seen(np.zeros(len(model.embeddings), dtype=np.int64), np.zeros(0, dtype=np.uint64))
        self.pool: Pool | None = None
        self.last: Step | None = None
        sweep_checkpoints(self.root)
        logged: str | None = None
        if last := saved(self.root)[-1:]:
            require_same_inputs(stage.folder, inputs_of(last[0]), stage.inputs)
            self.training, self.place, self.used_up, logged = resume(last[0], config.training, model.device)
        cut(self.root, self.training.steps if self.training else 0, logged)

    def finish(self) -> None:
        """Take the steps that are left, and write the dictionary."""
        while self.training is None or self.training.steps < self.config.training.steps:
            pool = self._pool()
            if self.training is None:
                with fitting(self.config.training):
                    self.training = Training.begin(pool.rows, self.config.training)
            with fitting(self.config.training):
                self._use_up(pool, self.training)
        held_out = self.reader.held_out(CALIBRATION_ROWS, self._told)
        if not len(held_out):
            raise CorpusError(f"The documents of '{self.corpus.name}' that are held out have no text; give a larger corpus.")
        self._write(self.training.calibrated(held_out).folded(), len(held_out))

    def _pool(self) -> Pool:
        """Return the pool that the training is at: the one at hand where that is the whole corpus."""
        if self.pool and self.pool.first_chunk == self.place.first_chunk:
            return self.pool
        self.pool = None  # two need not be held at once
        # In the first round no more is read than the steps take; in later ones the pools are those of the first.
        left = self.config.rows - self._steps_before_pool() * self.config.training.batch
        most = min(self.config.buffer_rows, left) if self.place.epoch == 0 else self.config.buffer_rows
        pool = self.reader.read(self.place.first_chunk, most, self._told)
        if self.place.pool == 0 and len(pool.rows) < self.config.training.batch:
            raise ConfigError(
                f"'{self.corpus.name}' has {len(pool.rows)} rows to train on, fewer than one batch of "
                f"{self.config.training.batch}; give more text or a smaller --batch."
            )
        if self.place.sha256 not in (None, pool.sha256):
            raise CorpusError(
                f"The text of '{self.corpus.name}' has changed since this training was saved; "
                f"delete '{self.root}' to begin again, or bring the text back."
            )
        self.pool = pool
        self.place = self.place._replace(sha256=pool.sha256)
        return pool

    def _steps_before_pool(self) -> int:
        return 0 if self.training is None else self.training.steps - self.place.batches

    def _use_up(self, pool: Pool, training: Training) -> None:
        """Take the steps that a pool has rows for, and move on to the next."""
        config = self.config.training
        for rows in pool.batches(config.batch, config.seed + 1_000_003 * self.place.pool, self.place.batches):
            self._step(training, rows)
            if training.steps == config.steps:
                break
            if training.steps % self.save_every == 0:
                self._save(training)
            if self.watch.interrupted():
                self._save(training)
                self._heed()
        if self.place.epoch == 0:
            self.used_up = self.used_up.with_more(pool.vocabulary, pool.documents)
        ended = pool.next_chunk is None
        self.place = Place(
            pool=self.place.pool + 1,
            epoch=self.place.epoch + ended,
            first_chunk=pool.next_chunk or 0,
            carriers=self.place.carriers + (pool.carriers if self.place.epoch == 0 else 0),
        )
        # Reading comes next, and may take longer than steps: what they gave is safe before it begins.
        self._save(training)

    def _step(self, training: Training, rows: torch.Tensor) -> None:
        taken = self.last = training.step(rows)
        self.place = self.place._replace(batches=self.place.batches + 1)
        self.watch.stepped(taken.number)
        last = taken.number == self.config.training.steps
        # A loss is only looked at now and then: on a GPU, looking waits for it.
        if last or taken.number % self.log_every == 0:
            training.require_sound(taken)
            metrics = training.metrics(taken)
            append(self.root, taken.number, metrics)
            self.watch.logged(taken.number, metrics)

    def _save(self, training: Training) -> None:
        if self.last:
            training.require_sound(self.last)
        seen = self.used_up
        if self.pool and self.place.epoch == 0 and self.place.batches:
            seen = seen.with_more(self.pool.vocabulary, self.pool.documents)
        save_training(self.root, training, self.place, self.used_up, seen, self.stage.inputs, self._metadata({}))

    def _told(self, rows: int) -> None:
        self._heed()
        self.watch.reading(rows)

    def _heed(self) -> None:
        if self.watch.interrupted():
            raise KeyboardInterrupt

    def _metadata(self, about: Mapping[str, Any]) -> dict[str, Any]:
        training = {"atlas_training": dict(about)} if about else {}
        return {
            "model_name": self.model.name,
            "model_class_name": self.model.auto_class,
            "hook_name": self.model.hook,
            "context_size": self.config.stream.window_tokens,
            "dataset_path": self.corpus.name,
            **training,
        }

    def _write(self, smixae: Smixae, calibration_rows: int) -> None:
        config, folder = self.config.training, self.stage.folder / CHECKPOINT
        about = {
            "tokens": int(self.used_up.vocabulary.sum()),
            "carrier_share": self.place.carriers / int(self.used_up.vocabulary.sum()),
            "steps": config.steps,
            "batch": config.batch,
            "k": config.k,
            "corpus": self.corpus.title,
            "calibration_rows": calibration_rows,
            "log_every": self.log_every,
            "inputs": self.stage.inputs,
            **self.origin,
        }
        save(smixae, folder, self._metadata(about))
        with writing(folder):
            self.used_up.write(folder)
            shutil.copyfile(self.root / TRAINING_LOG_FILE, folder / TRAINING_LOG_FILE)
            seal(folder)
            self.stage.finish({}, {"train": self.stage.inputs, "training": about})


@contextmanager
def fitting(config: TrainingConfig) -> Iterator[None]:
    """Say in one line that a dictionary is too large for the memory there is.

    Raises:
        ConfigError: it is.
    """
    try:
        yield
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise ConfigError(
            f"{config.n_experts:,} experts of {config.d_expert} units and batches of {config.batch:,} rows do not fit into "
            "memory; choose fewer experts, a smaller --batch or a smaller --buffer-rows."
        ) from error


def is_trained(model: LanguageModel, corpus: Corpus, plan: Survey, work: Path, config: TrainConfig) -> bool:
    """Return whether the work folder holds the dictionary that these inputs give.

    Raises:
        WorkOccupied: it holds one trained from other inputs, or part of such a training.
    """
    stage = Stage(work, STAGE, train_inputs(model, corpus, plan, config))
    for under_way in saved(stage.folder / UNDER_WAY)[-1:]:
        require_same_inputs(stage.folder, inputs_of(under_way), stage.inputs)
    return _is_whole(stage)


def _is_whole(stage: Stage) -> bool:
    """Return whether a training is finished, and its dictionary still there."""
    return stage.is_done() and (stage.folder / CHECKPOINT / WEIGHTS_FILE).is_file()


def steps_taken(work: Path) -> int:
    """Return how many steps an unfinished training in the work folder has saved."""
    last = saved(work / STAGE / UNDER_WAY)[-1:]
    return steps_of(last[0]) if last else 0


def require_own(work: Path, corpus: Corpus, plan: Survey, config: TrainConfig) -> None:
    """Raise WorkOccupied where the work folder holds a dictionary, or part of a training, on other text or in another way."""
    last = saved(work / STAGE / UNDER_WAY)[-1:]
    if is_finished(work, STAGE) or last:
        found = fingerprint(work, STAGE) if is_finished(work, STAGE) else inputs_of(last[0])
        known = json.loads(json.dumps(_known_inputs(corpus, plan, config)))
        require_same_inputs(work / STAGE, {key: found.get(key) for key in known}, known)


def _known_inputs(corpus: Corpus, plan: Survey, config: TrainConfig) -> dict[str, Any]:
    """Return those inputs of a training that are known before its model is loaded."""
    return {"corpus": {"name": corpus.name, "sha256": plan.sha256}, "settings": asdict(config)}


def train_inputs(model: LanguageModel, corpus: Corpus, plan: Survey, config: TrainConfig) -> dict[str, Any]:
    """Return everything that determines a trained dictionary; of the corpus, as much text as the survey read."""
    return {
        **_known_inputs(corpus, plan, config),
        "model": describe_model(model),
        "device": {"type": model.device.type, "dtype": model.dtype, "threads": torch.get_num_threads()},
        "versions": versions("torch", "transformers", "tokenizers"),
    }


def require_documents(corpus: Corpus, plan: Survey) -> None:
    """Raise CorpusError unless there are documents both to train on and to hold out."""
    if plan.held_out in (0, plan.documents):
        raise CorpusError(
            f"'{corpus.name}' has {plan.documents:,} document{'s' if plan.documents != 1 else ''} in the part that is read, "
            f"{plan.held_out:,} in the fifth that is held out; both kinds are needed. Give more documents that differ (in a "
            ".txt, two blank lines set them apart)."
        )
