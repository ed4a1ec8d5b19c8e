"""Whether the activation scale was folded into a checkpoint rightly, by what it does to rows of the model that it was trained on.

A SMIXAE is trained on rows times s = √d_in / mean ‖x‖; folding moves s into its weights, so that raw rows go in and come out.
Published checkpoints were folded by several rules, and not all of them keep the reconstruction: docs/checkpoints.md has the
rules, and how a reading is chosen.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from atlas.activations.corpus import Corpus
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig, Window, blocks, chunk_windows
from atlas.checkpoints import CONFIG_FILE, SCALER_FILE, UNFOLDED
from atlas.dictionary.as_written import seal
from atlas.dictionary.checkpoint import Checkpoint, save
from atlas.dictionary.smixae import Smixae
from atlas.dictionary.trained_on import TRAINED_ON_FILE
from atlas.dictionary.training_log import TRAINING_LOG_FILE
from atlas.errors import CheckpointError, ConfigError, CorpusError, ModelError, OutputOccupied, StorageError

MOST_FVU = 0.75
"""A reading that leaves more of the variance than this rebuilds too little to say anything of a fold."""
NORM_RATIO = (0.5, 1.25)
"""What the mean of ‖x̂‖ / ‖x‖ of a right reading lies between."""
GAIN = (2 / 3, 3 / 2)
"""What its gain lies between."""
MARGIN = 0.8
"""The FVU of one reading is clearly lower than another's when it is at most this share of it."""
NEARER = 0.5
"""The gain of one reading is clearly nearer to 1 when the logarithm of it is at most this share of the other's."""
SPARSER = 0.6
"""One reading fires clearly less than another when it does so at most this share as often."""
STATED = (math.log(1.3), math.log(1.5))
"""The firings of one reading clearly are those that a checkpoint states, and another's are not, when the logarithm of the one's
share of them is at most the first, and the other's at least the second: a moving average fires up to a fifth too many."""
FITTING = 0.1
"""Up to this logarithm, a gain is near enough to 1 for firing less to be no argument."""

Verdict = Literal["right", "misfolded", "unclear", "none"]
ScaleSource = Literal["given", "stored", "measured"]


class Mend(NamedTuple):
    """What is assumed of a fold, and the powers of s that the tensors are multiplied by to make it right."""

    name: str
    assumes: str
    W_enc: float = 0.0
    W_dec: float = 0.0
    b_dec: float = 0.0
    threshold: float = 0.0


AS_STORED = Mend("as stored", "the fold is right")
RESCALED_MENDS = (
    Mend("rule 1", "W_dec took 1/s and the threshold nothing", W_dec=0.5, threshold=-0.5),
    Mend("rule 2", "W_dec and the threshold took 1/s", W_dec=0.5, threshold=0.5),
    Mend("no fold", "nothing was folded", W_enc=1.0, W_dec=-0.5, b_dec=-1.0, threshold=-0.5),
)
"""Where codes are rescaled by the decoder norm. W_dec enters the reconstruction twice there, so a right fold gives it 1/√s."""
UNSCALED_MENDS = (
    Mend("threshold rule", "the threshold took 1/s", threshold=1.0),
    Mend("no fold", "nothing was folded", W_enc=1.0, W_dec=-1.0, b_dec=-1.0),
)
"""Where they are not: folding leaves the codes as they are, and the threshold with them."""


class Reading(NamedTuple):
    """What a checkpoint does to rows once it is read in one way."""

    mend: Mend
    norm_ratio: float
    """Mean of ‖x̂‖ / ‖x‖ over rows."""
    fvu: float
    """Share of the variance that is left unexplained, from 0; infinite where a reconstruction overflows."""
    gain: float
    """Factor on the reconstruction's deviations from their mean that brings them nearest to the rows'; training leaves 1."""
    firings_per_token: float

    @property
    def is_plausible(self) -> bool:
        """Whether a rightly folded dictionary of this model could read so."""
        fits = self.fvu <= MOST_FVU and NORM_RATIO[0] <= self.norm_ratio <= NORM_RATIO[1]
        return fits and GAIN[0] <= self.gain <= GAIN[1]

    @property
    def misfit(self) -> float:
        """How far the gain is from 1: the size of its logarithm."""
        return abs(math.log(self.gain)) if self.gain > 0 else math.inf

    def fires_as_stated_unlike(self, other: Reading, k: float | None) -> bool:
        """Whether it fires about k experts on a token, and the other does not."""
        if k is None or min(self.firings_per_token, other.firings_per_token) <= 0:
            return False
        own, others = (abs(math.log(reading.firings_per_token / k)) for reading in (self, other))
        return own <= STATED[0] and others >= STATED[1]

    def beats(self, other: Reading, k: float | None = None) -> bool:
        """Whether it is clearly the better account of the rows, of a dictionary trained to fire k experts on a token if known.

        FVU is not enough: with a threshold that is too low, firings that the dictionary was never trained with may still bring
        it down. They leave the reconstruction too large, and that shows in the gain.
        """
        if not self.is_plausible:
            return False
        lower = self.fvu <= MARGIN * other.fvu
        if not other.is_plausible:
            return lower
        if other.fires_as_stated_unlike(self, k):
            return False
        if self.fires_as_stated_unlike(other, k) and (self.fvu <= other.fvu or self.misfit <= other.misfit):
            return True
        nearer = self.misfit <= NEARER * other.misfit
        sparser = other.misfit > FITTING and self.firings_per_token <= SPARSER * other.firings_per_token
        return nearer and (lower or sparser)


@dataclass(frozen=True)
class Diagnosis:
    """How a checkpoint reads on rows of its model: as it is stored, and under every mend that the history of folds suggests."""

    rows: int
    mean_norm: float
    """Mean of ‖x‖ over rows."""
    scale: float
    """The s that mends use."""
    scale_source: ScaleSource
    """Who says so: the caller, `activation_scaler.json` beside the weights, or these rows."""
    readings: tuple[Reading, ...]
    """As stored first, then every mend; as stored alone where the checkpoint says that it is not folded."""
    verdict: Verdict
    mend: Mend | None
    """The one that helps, where the verdict is `misfolded`."""

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.mend:
            return f"Looks misfolded ({self.mend.name}): {self.mend.assumes}."
        return {
            "right": "Looks right: read as it is stored it rebuilds these rows, and no known mend does so clearly better.",
            "unclear": "Looks misfolded, but two mends rebuild these rows about equally well, so which one is right stays open.",
            "none": "Does not rebuild these rows as it is stored, and no known mend helps: are this its model and its hook?",
        }[self.verdict]


def diagnose(checkpoint: Checkpoint, rows: Iterable[Tensor], scale: float | None = None) -> Diagnosis:
    """Return how a checkpoint reads on raw rows of its model, in tensors (token, d_in) that are all held in memory.

    The scale that mends use is the one given, or that of `activation_scaler.json` beside the weights, or √d_in / mean ‖x‖ of
    these rows.

    Raises:
        CheckpointError: `activation_scaler.json` cannot be read.
        ConfigError: a scale is given for a checkpoint that says it is not folded, or it is not above 0.
        CorpusError: there are no two rows that differ.
        ModelError: a row is not finite.
    """
    smixae = checkpoint.smixae
    normalisation = smixae.normalisation
    source: ScaleSource = "given"
    if scale is None:
        source, scale = "stored", normalisation.factor if normalisation.kind == UNFOLDED else stored_scale(checkpoint.path)
    elif normalisation.kind != "none":
        raise ConfigError(f"The checkpoint normalises rows itself ('{normalisation.kind}'), so no scale is mended; leave it out.")
    elif not (math.isfinite(scale) and scale > 0):
        raise ConfigError(f"The scale is {scale}; it has to be above 0.")
    held = list(rows)
    n = sum(map(len, held))
    total = sum((x.double().sum(dim=0) for x in held), torch.zeros(()))
    if not torch.isfinite(total).all():
        raise ModelError("The model gave a row that is not finite; run it with --dtype float32 or bfloat16.")
    mean = total / max(n, 1)
    variance = sum(float((x - mean).square().sum()) for x in held)
    # Equal rows differ from their mean by rounding.
    if variance <= 1e-12 * n * float(mean.square().sum()):
        raise CorpusError(f"The text gives {n:,} rows, and no two that differ; a fold is judged on many. Give more text.")
    mean_norm = sum(float(x.double().norm(dim=1).sum()) for x in held) / n
    if scale is None:
        source, scale = "measured", math.sqrt(smixae.d_in) / mean_norm
    mends = RESCALED_MENDS if smixae.config.rescale_by_decoder_norm else UNSCALED_MENDS
    readings = [_read(AS_STORED, smixae, held, mean, variance)]
    if normalisation.kind == "none":
        # One at a time: a mended dictionary is as large as the weights.
        readings += [_read(mend, mended(smixae, mend, scale), held, mean, variance) for mend in mends]
    return Diagnosis(n, mean_norm, scale, source, tuple(readings), *judge(readings, stated_k(checkpoint)))


def judge(readings: list[Reading], k: float | None = None) -> tuple[Verdict, Mend | None]:
    """Return the verdict on readings, as stored first, with the mend that helps: the one that beats all others."""
    stored, *others = readings
    better = [other for other in others if other.beats(stored, k)]
    if not better:
        return ("right" if stored.is_plausible else "none"), None
    for reading in better:
        if all(reading.beats(other, k) for other in others if other is not reading and other.is_plausible):
            return "misfolded", reading.mend
    return "unclear", None


def mended(smixae: Smixae, mend: Mend, scale: float) -> Smixae:
    """Return a dictionary whose tensors are multiplied by the mend's powers of `scale`."""
    weights = smixae.weights
    moved = weights._replace(
        W_enc=weights.W_enc * scale**mend.W_enc if mend.W_enc else weights.W_enc,
        W_dec=weights.W_dec * scale**mend.W_dec if mend.W_dec else weights.W_dec,
        b_dec=weights.b_dec * scale**mend.b_dec if mend.b_dec else weights.b_dec,
    )
    return Smixae(smixae.config, moved, smixae.threshold * scale**mend.threshold)


def repair(checkpoint: Checkpoint, diagnosis: Diagnosis, out: Path) -> None:
    """Write a copy of a misfolded checkpoint with the mend that helps, whole or not at all.

    Its metadata says under `atlas_repair` what was mended, with which scale; what it was trained on goes along.

    Raises:
        CheckpointError: the diagnosis found no mend that helps.
        OutputOccupied: `out` is the checkpoint's own folder, or holds something.
        StorageError: it cannot be written.
    """
    if diagnosis.mend is None:
        raise CheckpointError(f"{diagnosis.sentence} Nothing was written: leave out --repair.")
    require_free(checkpoint, out)
    metadata = {
        **checkpoint.metadata,
        "atlas_repair": {
            "mend": diagnosis.mend.name,
            "assumes": diagnosis.mend.assumes,
            "scale": diagnosis.scale,
            "scale_source": diagnosis.scale_source,
            "sha256": checkpoint.sha256,
        },
    }
    whole = out.resolve()
    part = whole.with_name(f".{whole.name}.{os.getpid()}.part")
    try:
        save(mended(checkpoint.smixae, diagnosis.mend, diagnosis.scale), part, metadata)
        for name in (TRAINED_ON_FILE, TRAINING_LOG_FILE):
            if (checkpoint.path / name).is_file():
                shutil.copyfile(checkpoint.path / name, part / name)
        seal(part)
        os.replace(part, whole)
    except OSError as error:
        raise StorageError(f"'{out}' cannot be written: {error.strerror}. Give --repair another folder.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def require_free(checkpoint: Checkpoint, out: Path) -> None:
    """Return if a repaired copy can become the folder `out`.

    Raises:
        OutputOccupied: it is the checkpoint's own folder, or holds something.
        StorageError: it cannot be looked into.
    """
    try:
        if out.resolve() == checkpoint.path.resolve():
            raise OutputOccupied(f"'{out}' is the checkpoint itself; give --repair another folder.")
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise OutputOccupied(f"'{out}' is there and not an empty folder; give --repair another one.")
    except OSError as error:
        raise StorageError(f"'{out}' cannot be looked into: {error.strerror}. Give --repair another folder.") from error


def stored_scale(folder: Path) -> float | None:
    """Return the scale that `activation_scaler.json` in a checkpoint's folder holds; None where there is none.

    Raises:
        CheckpointError: it holds something else.
    """
    path = folder / SCALER_FILE
    if not path.is_file():
        return None
    try:
        scale = json.loads(path.read_text(encoding="utf-8"))["scaling_factor"]
        if scale is None:
            return None
        if isinstance(scale, int | float) and 0 < scale <= sys.float_info.max:
            return float(scale)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"'{path}' has no scaling_factor ({type(error).__name__}). Copy it again, or remove it.") from error
    raise CheckpointError(f"'{path}' has the scaling_factor {scale!r}; it has to be above 0. Copy it again, or remove it.")


def stated_k(checkpoint: Checkpoint) -> float | None:
    """Return how many experts a token was trained to fire: as Atlas notes it, or SAELens in its training configuration.

    Raises:
        CheckpointError: the configuration cannot be read.
    """
    stated: list[Any] = [(checkpoint.metadata.get("atlas_training") or {}).get("k")]
    for name in (CONFIG_FILE, "runner_cfg.json"):
        path = checkpoint.path / name
        try:
            found = json.loads(path.read_bytes()) if path.is_file() else {}
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"'{path}' is not JSON: {error}. Copy it again, or remove it.") from error
        for part in (found, found.get("sae") if isinstance(found, dict) else None):
            stated.append(part.get("k_experts") if isinstance(part, dict) else None)
    numbers = [float(k) for k in stated if isinstance(k, int | float) and not isinstance(k, bool) and 0 < k <= sys.float_info.max]
    return numbers[0] if numbers else None


def residual_rows(
    corpus: Corpus, model: LanguageModel, stream: StreamConfig, tokens: int
) -> Iterator[Float[Tensor, "token d_in"]]:
    """Yield rows of the first windows of a corpus, up to the one that brings them to `tokens`, special tokens left out."""
    left = tokens
    for chunk in corpus.chunks():
        windows: list[Window] = []
        for window in chunk_windows(chunk, model.tokenizer, stream):
            if left > 0:
                windows.append(window)
                left -= len(window.token_ids)
        for block in blocks(windows, model, stream):
            yield block.x[: len(block.tokens.document)]
        if left <= 0:
            return


@torch.no_grad()
def _read(mend: Mend, smixae: Smixae, rows: list[Tensor], mean: Float[Tensor, "d_in"], variance: float) -> Reading:
    """Return what a dictionary does to rows of this mean and (summed) variance."""
    n = sum(map(len, rows))
    left = ratios = squares = products = 0.0
    nonzero = firings = 0
    total = torch.zeros_like(mean)
    for x in rows:
        code = smixae.encode(x)
        x_hat = smixae.decode(code, x).double()
        norm = x.double().norm(dim=1)
        seen = norm > 0
        left += float((x - x_hat).square().sum())
        ratios += float((x_hat.norm(dim=1)[seen] / norm[seen]).sum())
        nonzero += int(seen.sum())
        squares += float(x_hat.square().sum())
        products += float(((x - mean) * x_hat).sum())
        total += x_hat.sum(dim=0)
        firings += int(code.any(dim=2).sum())
    fvu = left / variance
    spread = squares - float(total.square().sum()) / n
    return Reading(
        mend,
        norm_ratio=ratios / nonzero,
        fvu=fvu if math.isfinite(fvu) else math.inf,
        gain=products / spread if spread > 0 else 0.0,
        firings_per_token=firings / n,
    )
