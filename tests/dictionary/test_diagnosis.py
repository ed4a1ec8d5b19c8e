"""Dictionaries with a planted structure, folded by every rule of the history, are told apart and mended."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tiny
from atlas.activations.corpus import Corpus
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig
from atlas.dictionary import Checkpoint, Smixae, save
from atlas.dictionary.diagnosis import (
    AS_STORED,
    RESCALED_MENDS,
    Diagnosis,
    Reading,
    diagnose,
    judge,
    repair,
    require_free,
    residual_rows,
    stated_k,
    stored_scale,
)
from atlas.dictionary.training import Training, TrainingConfig
from atlas.errors import CheckpointError, ConfigError, CorpusError, ModelError, OutputOccupied, StorageError
from planted import RULES, RULES_UNSCALED, Planted, folded

M, N, D = 64, 16, 3
"""Input, experts and code of the planted dictionary."""
ACTIVE = 3
"""Experts that write to a row."""

CASES = [
    pytest.param(rule, rescale, scale, id=f"{rule}, {'rescaled' if rescale else 'as it is'}, s = {scale}")
    for rescale, rules in ((True, RULES), (False, RULES_UNSCALED))
    for rule in rules
    for scale in (0.2, 0.3, 0.5, 3.0)
]


def subspaces() -> Tensor:
    """Each expert's own subspace, as orthonormal rows: too many to be orthogonal to each other."""
    generator = torch.Generator().manual_seed(1)
    return torch.linalg.qr(torch.randn(N, M, D, generator=generator)).Q.transpose(1, 2)


def planted(rescale: bool, offset: float = 3.0) -> Planted:
    """A dictionary that rebuilds rows of the planted structure."""
    # Experts that are not orthogonal read each other's writing, so least squares writes less than is read.
    return Planted(subspaces(), torch.full((M,), offset / math.sqrt(M)), 2.625, rescale, written=0.75)


def rows(s: float, seed: int, n: int = 2000, offset: float = 3.0) -> Tensor:
    """Raw rows whose mean norm is about √M / s: three subspaces written to in each, around a common offset."""
    generator = torch.Generator().manual_seed(seed)
    which = torch.rand(n, N, generator=generator).topk(ACTIVE).indices
    code = torch.nn.functional.normalize(torch.randn(n, ACTIVE, D, generator=generator), dim=2)
    length = 3.5 + 1.5 * torch.rand(n, ACTIVE, 1, generator=generator)
    y = torch.einsum("nkd,nkdm->nm", code * length, subspaces()[which]) + offset / math.sqrt(M)
    return y / s


def checkpoint(smixae: Smixae, path: Path = Path("nowhere")) -> Checkpoint:
    return Checkpoint(smixae=smixae, path=path, sha256="abc", architecture="smixae", metadata={"model_name": "planted"})


def diagnosed(smixae: Smixae, x: Tensor, scale: float | None = None) -> Diagnosis:
    return diagnose(checkpoint(smixae), x.split(700), scale)


def saved(smixae: Smixae, folder: Path) -> Checkpoint:
    save(smixae, folder, {"model_name": "planted"})
    return Checkpoint.load(folder)


# What is found


@pytest.mark.parametrize(("rule", "rescale", "s"), CASES)
def test_every_rule_is_told_by_what_it_does(rule: str, rescale: bool, s: float) -> None:
    x = rows(s, seed=5)
    found = diagnosed(planted(rescale).folded(rule, s), x)

    assert (found.rows, found.scale_source) == (2000, "measured")
    assert found.mean_norm == pytest.approx(float(x.norm(dim=1).mean()), rel=1e-5)
    assert found.scale == pytest.approx(math.sqrt(M) / found.mean_norm)
    assert (found.verdict, found.mend and found.mend.name) == (("right", None) if rule == "right" else ("misfolded", rule))


@pytest.fixture(scope="module", params=[True, False], ids=["rescaled", "as it is"])
def trained(request: pytest.FixtureRequest) -> Smixae:
    """A dictionary that was trained on rows of the planted structure, not folded."""
    config = TrainingConfig(
        n_experts=24,
        k=3,
        rescale_by_decoder_norm=request.param,
        steps=200,
        batch=512,
        learning_rate=1e-2,
        warmup_steps=10,
    )
    x = rows(1.0, seed=1, n=6000)
    training = Training.begin(x, config)
    for step in range(config.steps):
        first = step * config.batch % 5120
        training.step(x[first : first + config.batch])
    return training.calibrated(rows(1.0, seed=2, n=1000))


@pytest.mark.parametrize("s", [0.2, 0.3, 0.4, 0.5, 3.0])
def test_every_rule_is_told_of_a_dictionary_that_was_trained(s: float, trained: Smixae) -> None:
    # Rows 1/s as large take s times the factor.
    scale = trained.normalisation.factor * s
    for rule in RULES if trained.config.rescale_by_decoder_norm else RULES_UNSCALED:
        smixae = folded(trained.config, trained.weights, trained.threshold, rule, scale)
        found = diagnosed(smixae, rows(s, seed=5))
        named = ("right", None) if rule == "right" else ("misfolded", rule)
        assert (found.verdict, found.mend and found.mend.name) == named, found.readings


@pytest.mark.parametrize(("rule", "rescale", "s"), CASES)
def test_its_mend_reads_as_the_right_fold_does(rule: str, rescale: bool, s: float) -> None:
    x = rows(s, seed=5)
    right = diagnosed(planted(rescale).folded("right", s), x, s).readings[0]
    found = diagnosed(planted(rescale).folded(rule, s), x, s)

    best = min(found.readings, key=lambda reading: reading.fvu)
    # A norm that equals the threshold but for rounding may pass it in one of the two.
    assert best[1:] == pytest.approx(right[1:], rel=1e-3)
    assert found.scale_source == "given"


@pytest.mark.parametrize("s", [0.25, 0.5, 3.0])
def test_rule_2_rebuilds_rows_too_large_by_one_over_the_scale(s: float) -> None:
    centred = planted(True, offset=0.0)
    x = rows(s, seed=5, offset=0.0)
    right, wrong = (diagnosed(centred.folded(rule, s), x).readings[0] for rule in ("right", "rule 2"))

    assert wrong.norm_ratio * s == pytest.approx(right.norm_ratio, rel=1e-5)
    assert wrong.gain / s == pytest.approx(right.gain, rel=1e-5)
    assert wrong.firings_per_token == right.firings_per_token


@pytest.mark.parametrize("s", [0.25, 0.5])
def test_rule_1_does_so_too_and_fires_more_besides(s: float) -> None:
    centred = planted(True, offset=0.0)
    x = rows(s, seed=5, offset=0.0)
    right, wrong = (diagnosed(centred.folded(rule, s), x).readings[0] for rule in ("right", "rule 1"))

    assert 1 / s < wrong.norm_ratio / right.norm_ratio < 2 / s
    assert wrong.firings_per_token > right.firings_per_token


def test_numbers_are_those_of_the_definitions() -> None:
    x = rows(0.5, seed=6, n=300)
    smixae = planted(True).folded("rule 2", 0.5)
    found = diagnosed(smixae, x).readings[0]

    x_hat = smixae.reconstruct(x)
    deviation, rebuilt = (x - x.mean(dim=0)).double(), (x_hat - x_hat.mean(dim=0)).double()
    steps = torch.linspace(0.4, 0.6, 2001, dtype=torch.float64)
    nearest = torch.stack([(deviation - step * rebuilt).square().sum() for step in steps]).argmin()
    assert found.mend is AS_STORED
    assert found.norm_ratio == pytest.approx(float((x_hat.norm(dim=1) / x.norm(dim=1)).mean()), rel=1e-5)
    assert found.fvu == pytest.approx(float((x - x_hat).square().sum() / deviation.square().sum()), rel=1e-5)
    assert found.gain == pytest.approx(float(steps[nearest]), abs=1e-4)
    assert found.firings_per_token == pytest.approx(len(smixae.firings(x).token) / 300)


@pytest.mark.parametrize("rescale", [True, False], ids=["rescaled", "as it is"])
@pytest.mark.parametrize("s", [0.2, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_untrained_dictionary_is_not_called_misfolded(seed: int, s: float, rescale: bool) -> None:
    smixae = tiny.dictionary(d_in=M, n_experts=N, rescale=rescale, threshold=0.5, seed=seed)

    found = diagnosed(smixae, rows(s, seed=5))

    assert (found.verdict, found.mend) == ("none", None)


def test_a_right_one_is_not_called_misfolded_where_folding_does_next_to_nothing() -> None:
    assert diagnosed(planted(True).folded("right", 0.95), rows(0.95, seed=5)).verdict == "right"


@pytest.mark.parametrize("factor", [1.2, 1.35, 2.2])
def test_outputs_of_a_wrong_size_that_the_scale_does_not_explain_are_not_mended(factor: float) -> None:
    smixae = planted(True).folded("right", 0.3)
    wrong = Smixae(smixae.config, smixae.weights._replace(W_dec=smixae.weights.W_dec * factor), smixae.threshold * factor)

    found = diagnosed(wrong, rows(0.3, seed=5))

    # Contributions are wrong by the factor's square, and 1 / 0.3 is not near that; a mend that comes nearer is no fold undone.
    assert found.verdict == "none"
    assert min(reading.fvu for reading in found.readings) > 0.2


def test_rows_of_another_structure_are_not_rebuilt() -> None:
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(2000, M, generator=generator) / 0.3

    assert diagnosed(planted(True).folded("rule 2", 0.3), x).verdict == "none"


def test_without_a_threshold_rules_1_and_2_cannot_be_told_apart() -> None:
    smixae = planted(True).folded("rule 2", 0.5)
    # All experts fire at once, so each writes less.
    everything = Smixae(smixae.config, smixae.weights._replace(W_dec=smixae.weights.W_dec * 0.8), 0.0)

    found = diagnosed(everything, rows(0.5, seed=5))

    assert found.verdict == "unclear" and found.mend is None
    assert found.readings[1][1:] == found.readings[2][1:]


# How a verdict is reached


BAD = {"fvu": 9.0, "gain": 0.2}


def reading(index: int, fvu: float, norm_ratio: float = 0.9, gain: float = 1.0, firings: float = 64.0) -> Reading:
    return Reading((AS_STORED, *RESCALED_MENDS)[index], norm_ratio, fvu, gain, firings)


@pytest.mark.parametrize(
    ("stored", "first", "second", "verdict"),
    [
        pytest.param({"fvu": 0.5}, {"fvu": 0.41}, BAD, "right", id="lower, but not clearly"),
        pytest.param({"fvu": 0.5}, {"fvu": 0.40}, BAD, "misfolded", id="clearly lower"),
        pytest.param({"fvu": 0.5, "gain": 0.98}, {"fvu": 0.3, "gain": 0.9}, BAD, "right", id="lower, of a worse size"),
        pytest.param({"fvu": 0.5, "gain": 0.81}, {"fvu": 0.3, "gain": 0.89}, BAD, "right", id="not clearly nearer in size"),
        pytest.param({"fvu": 0.5, "gain": 0.81}, {"fvu": 0.3, "gain": 0.91}, BAD, "misfolded", id="clearly nearer in size"),
        pytest.param(
            {"fvu": 0.3, "gain": 0.8}, {"fvu": 0.4, "firings": 38.0}, BAD, "misfolded", id="clearly sparser, of the right size"
        ),
        pytest.param({"fvu": 0.3, "gain": 0.8}, {"fvu": 0.4, "firings": 39.0}, BAD, "right", id="not clearly sparser"),
        pytest.param(
            {"fvu": 0.3, "gain": 0.91}, {"fvu": 0.4, "firings": 9.0}, BAD, "right", id="sparser than one of a fair size"
        ),
        pytest.param(BAD, {"fvu": 0.40}, {"fvu": 0.49}, "unclear", id="two about equally good"),
        pytest.param(BAD, {"fvu": 0.40}, {"fvu": 0.5}, "misfolded", id="one clearly lower"),
        pytest.param(
            BAD, {"fvu": 0.5}, {"fvu": 0.4, "gain": 0.8, "firings": 200.0}, "misfolded", id="one sparser, the size right"
        ),
        pytest.param(BAD, {"fvu": 0.4, "gain": 0.9}, {"fvu": 0.4, "gain": 1.08}, "unclear", id="two about equally wrong in size"),
        pytest.param(BAD, {"fvu": 0.74}, BAD, "misfolded", id="rebuilds just enough"),
        pytest.param(BAD, {"fvu": 0.76}, BAD, "none", id="rebuilds too little"),
        pytest.param(BAD, {"fvu": 0.4, "gain": 1.51}, BAD, "none", id="too small"),
        pytest.param(BAD, {"fvu": 0.4, "gain": 0.66}, BAD, "none", id="too large"),
        pytest.param(BAD, {"fvu": 0.4, "norm_ratio": 1.26}, BAD, "none", id="norms too large"),
        pytest.param(BAD, {"fvu": 0.4, "norm_ratio": 0.49}, BAD, "none", id="norms too small"),
        pytest.param({"fvu": 0.8}, {"fvu": 0.9}, BAD, "none", id="merely bad"),
        pytest.param({"fvu": 0.8}, {"fvu": 0.7}, BAD, "none", id="merely bad, and a mend hardly better"),
        pytest.param({"fvu": 0.9, "gain": 0.0}, {"fvu": math.inf, "gain": 0.0}, BAD, "none", id="silent, or beyond all numbers"),
    ],
)
def test_verdict_follows_the_rule(
    stored: dict[str, float], first: dict[str, float], second: dict[str, float], verdict: str
) -> None:
    found, mend = judge([reading(0, **stored), reading(1, **first), reading(2, **second)])

    assert found == verdict
    assert mend == (RESCALED_MENDS[0] if verdict == "misfolded" else None)


@pytest.mark.parametrize(
    ("stored", "first", "second", "verdict"),
    [
        pytest.param(
            {"fvu": 0.61, "firings": 5.9}, {"fvu": 0.60, "firings": 12.0}, BAD, "misfolded", id="stored fires too little"
        ),
        pytest.param(
            {"fvu": 0.61, "firings": 9.0}, {"fvu": 0.60, "firings": 12.0}, BAD, "right", id="stored fires nearly enough"
        ),
        pytest.param(
            BAD, {"fvu": 0.4, "firings": 12.5}, {"fvu": 0.4, "firings": 40.8, "gain": 0.95}, "misfolded", id="one fires k"
        ),
        pytest.param(BAD, {"fvu": 0.4, "firings": 12.5}, {"fvu": 0.4, "firings": 16.0}, "unclear", id="both fire about k"),
        pytest.param({"fvu": 0.5, "firings": 12.0}, {"fvu": 0.3, "firings": 40.0}, BAD, "right", id="a mend fires too much"),
    ],
)
def test_stated_k_decides_between_plausible_readings(
    stored: dict[str, float], first: dict[str, float], second: dict[str, float], verdict: str
) -> None:
    found, mend = judge([reading(0, **stored), reading(1, **first), reading(2, **second)], k=12.0)

    assert found == verdict
    assert mend == (RESCALED_MENDS[0] if verdict == "misfolded" else None)


@pytest.mark.parametrize(
    ("metadata", "files", "k"),
    [
        pytest.param({"atlas_training": {"k": 12}}, {}, 12.0, id="Atlas"),
        pytest.param({}, {"runner_cfg.json": '{"sae": {"k_experts": 64}}'}, 64.0, id="SAELens"),
        pytest.param({"atlas_training": {"k": True}}, {"runner_cfg.json": "[]"}, None, id="nothing usable"),
    ],
)
def test_k_is_what_the_checkpoint_states(
    metadata: dict[str, object], files: dict[str, str], k: float | None, tmp_path: Path
) -> None:
    save(planted(True).folded("right", 0.5), tmp_path, metadata)
    for name, content in files.items():
        (tmp_path / name).write_text(content)

    assert stated_k(Checkpoint.load(tmp_path)) == k


# Where the scale comes from, and what is refused


@pytest.mark.parametrize("rule", RULES)
def test_scale_beside_the_weights_is_used_where_none_is_given(rule: str, tmp_path: Path) -> None:
    found = saved(planted(True).folded(rule, 0.5), tmp_path)
    (tmp_path / "activation_scaler.json").write_text('{"scaling_factor": 0.5}')
    x = rows(0.5, seed=5)

    stored, given = diagnose(found, [x]), diagnose(found, [x], 0.25)

    assert (stored.scale, stored.scale_source) == (0.5, "stored")
    assert (given.scale, given.scale_source) == (0.25, "given")
    assert stored.verdict == ("right" if rule == "right" else "misfolded")


def test_a_scaler_without_a_scale_is_as_good_as_none(tmp_path: Path) -> None:
    assert stored_scale(tmp_path) is None
    (tmp_path / "activation_scaler.json").write_text('{"scaling_factor": null}')
    assert stored_scale(tmp_path) is None


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"scaling_factor": "a"}', '{"scaling_factor": -1}', "\udcff"])
def test_a_scaler_that_cannot_be_read_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "activation_scaler.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(CheckpointError, match=r"activation_scaler\.json' has .*or remove it\.$"):
        stored_scale(tmp_path)


def test_an_unfolded_checkpoint_that_says_so_is_read_as_it_says(tmp_path: Path) -> None:
    save(planted(True).folded("no fold", 0.5), tmp_path, {})
    config = json.loads((tmp_path / "cfg.json").read_text())
    (tmp_path / "cfg.json").write_text(json.dumps({**config, "normalize_activations": "expected_average_only_in"}))
    (tmp_path / "activation_scaler.json").write_text('{"scaling_factor": 0.5}')
    unfolded, x = Checkpoint.load(tmp_path), rows(0.5, seed=5)

    found = diagnose(unfolded, [x])

    assert (found.verdict, found.scale, found.scale_source) == ("right", 0.5, "stored")
    assert [reading.mend for reading in found.readings] == [AS_STORED]
    with pytest.raises(ConfigError, match=r"normalises rows itself \('expected_average_only_in'\)"):
        diagnose(unfolded, [x], 0.5)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
def test_a_scale_is_above_zero(scale: float) -> None:
    with pytest.raises(ConfigError, match=r"The scale is .*; it has to be above 0\."):
        diagnosed(planted(True).folded("right", 0.5), rows(0.5, seed=5), scale)


@pytest.mark.parametrize(
    "x", [torch.zeros(0, M), torch.full((1, M), 0.1), torch.full((50, M), 0.1)], ids=["none", "one", "equal"]
)
def test_rows_that_do_not_differ_say_nothing(x: Tensor) -> None:
    with pytest.raises(CorpusError, match=rf"gives {len(x)} rows, and no two that differ"):
        diagnosed(planted(True).folded("right", 0.5), x)


def test_a_row_that_is_not_finite_is_refused() -> None:
    x = rows(0.5, seed=5)
    x[3, 4] = torch.nan
    with pytest.raises(ModelError, match="a row that is not finite"):
        diagnosed(planted(True).folded("right", 0.5), x)


# The corrected copy


@pytest.mark.parametrize(("rule", "rescale", "s"), [case for case in CASES if case.values[0] != "right"])
def test_the_repaired_copy_is_the_right_fold(rule: str, rescale: bool, s: float, tmp_path: Path) -> None:
    wrong = saved(planted(rescale).folded(rule, s), tmp_path / "wrong")
    right = planted(rescale).folded("right", s)
    x = rows(s, seed=5)

    repair(wrong, diagnose(wrong, [x], s), tmp_path / "given")
    repair(wrong, diagnose(wrong, [x]), tmp_path / "measured")

    exact, close = (Checkpoint.load(tmp_path / name).smixae for name in ("given", "measured"))
    for name, tensor in right.weights._asdict().items():
        torch.testing.assert_close(getattr(exact.weights, name), tensor, rtol=1e-6, atol=0)
        torch.testing.assert_close(getattr(close.weights, name), tensor, rtol=0.05, atol=0)
    assert exact.threshold == pytest.approx(right.threshold, rel=1e-6)
    assert close.threshold == pytest.approx(right.threshold, rel=0.05)
    assert diagnose(Checkpoint.load(tmp_path / "measured"), [x]).verdict == "right"


@pytest.mark.parametrize("rule", RULES[1:])
def test_with_a_scale_that_is_a_power_of_four_not_a_bit_differs(rule: str, tmp_path: Path) -> None:
    wrong = saved(planted(True).folded(rule, 0.25), tmp_path / "wrong")
    repair(wrong, diagnose(wrong, [rows(0.25, seed=5)], 0.25), tmp_path / "out")

    save(planted(True).folded("right", 0.25), tmp_path / "right", {})
    name = "sae_weights.safetensors"
    assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "right" / name).read_bytes()


def test_the_copy_says_what_was_mended_and_keeps_what_is_known(tmp_path: Path) -> None:
    wrong = saved(planted(True).folded("rule 2", 0.5), tmp_path / "wrong")
    (tmp_path / "wrong" / "trained_on.safetensors").write_bytes(b"counts")
    (tmp_path / "wrong" / "training_log.jsonl").write_bytes(b"{}\n")
    (tmp_path / "wrong" / "notes.txt").write_bytes(b"mine")
    (tmp_path / "out").mkdir()

    repair(wrong, diagnose(wrong, [rows(0.5, seed=5)], 0.5), tmp_path / "out")

    metadata = json.loads((tmp_path / "out" / "cfg.json").read_text())["metadata"]
    assert metadata["model_name"] == "planted"
    assert metadata["atlas_repair"] == {
        "mend": "rule 2",
        "assumes": "W_dec and the threshold took 1/s",
        "scale": 0.5,
        "scale_source": "given",
        "sha256": wrong.sha256,
    }
    assert (tmp_path / "out" / "trained_on.safetensors").read_bytes() == b"counts"
    assert (tmp_path / "out" / "training_log.jsonl").read_bytes() == b"{}\n"
    assert len(list((tmp_path / "out").iterdir())) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "wrong"]


def test_what_is_right_or_beyond_help_is_not_repaired(tmp_path: Path) -> None:
    right = saved(planted(True).folded("right", 0.5), tmp_path / "right")
    bad = saved(tiny.dictionary(d_in=M, n_experts=N), tmp_path / "bad")
    for found, why in ((right, "Looks right"), (bad, "no known mend helps")):
        with pytest.raises(CheckpointError, match=rf"{why}.* Nothing was written: leave out --repair\."):
            repair(found, diagnose(found, [rows(0.5, seed=5)]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_copy_never_goes_where_something_is(tmp_path: Path) -> None:
    wrong = saved(planted(True).folded("rule 2", 0.5), tmp_path / "wrong")
    diagnosis = diagnose(wrong, [rows(0.5, seed=5)])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    before = (tmp_path / "wrong" / "sae_weights.safetensors").read_bytes()

    with pytest.raises(OutputOccupied, match="full' is there and not an empty folder"):
        repair(wrong, diagnosis, tmp_path / "full")
    with pytest.raises(OutputOccupied, match="x' is there and not an empty folder"):
        repair(wrong, diagnosis, tmp_path / "full" / "x")
    with pytest.raises(OutputOccupied, match="is the checkpoint itself"):
        repair(wrong, diagnosis, tmp_path / "full" / ".." / "wrong")
    assert (tmp_path / "wrong" / "sae_weights.safetensors").read_bytes() == before


def test_the_folder_one_is_in_may_become_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = saved(planted(True).folded("rule 2", 0.5), tmp_path / "wrong")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    repair(wrong, diagnose(wrong, [rows(0.5, seed=5)]), Path("."))

    assert Checkpoint.load(tmp_path / "here").metadata["atlas_repair"]["mend"] == "rule 2"


def test_a_folder_that_cannot_be_looked_into_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = saved(planted(True).folded("rule 2", 0.5), tmp_path / "wrong")
    (tmp_path / "shut").mkdir()

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(StorageError, match="shut' cannot be looked into: Permission denied"):
        require_free(wrong, tmp_path / "shut")


def test_a_copy_that_fails_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = saved(planted(True).folded("rule 2", 0.5), tmp_path / "wrong")
    (tmp_path / "wrong" / "training_log.jsonl").write_bytes(b"{}\n")
    diagnosis = diagnose(wrong, [rows(0.5, seed=5)])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("atlas.dictionary.diagnosis.shutil.copyfile", full)
    with pytest.raises(StorageError, match="out' cannot be written: No space left on device"):
        repair(wrong, diagnosis, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["wrong"]


# Rows of a corpus


def test_rows_are_those_of_the_first_windows(bert: LanguageModel, corpus: Corpus) -> None:
    stream = StreamConfig(window_tokens=32)
    x = torch.cat(list(residual_rows(corpus, bert, stream, 400)))
    every = torch.cat(list(residual_rows(corpus, bert, stream, 10**9)))

    # The last window of at most 30 tokens of text may go beyond.
    assert 400 <= len(x) < 430
    assert len(every) == sum(len(bert.tokenizer.encode(d.text, add_special_tokens=False)) for d in corpus.read())
    assert x.shape[1] == bert.d_model
