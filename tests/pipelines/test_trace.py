"""`atlas trace` prints what fires on each token of a prompt, and adds prompts to an atlas of the same dictionary and model."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import tiny
from atlas.activations.corpus import Document
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig
from atlas.dictionary import Checkpoint
from atlas.dictionary.smixae import codes
from atlas.errors import AtlasBusy
from atlas.harvest.inputs import describe_model
from atlas.prompts import TABLES, add_prompts
from atlas.store import Store, write_atlas
from atlas.store.writing import _Written
from atlas.trace import LONGEST, NEAR, Prompt, trace
from pipelines.cli import main
from pipelines.trace import MOST
from synthetic import synthetic_tables

TEXT = "We meet in September, [SEP] or on Monday at the atlas."
EXPERTS = 40
"""As the synthetic atlas has."""
THRESHOLD = 3.2
"""Some of them reach half of it on some token of the text, and some do not."""


@pytest.fixture(scope="module")
def checkpoint(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    metadata = {"model_name": str(models["bert"]), "hook_name": tiny.HOOKS["bert"], "context_size": 48}
    return tiny.checkpoint(tmp_path_factory.mktemp("dictionary"), metadata, n_experts=EXPERTS, threshold=THRESHOLD)


@pytest.fixture(scope="module")
def about(checkpoint: Path, bert: LanguageModel) -> dict[str, Any]:
    return {"dictionary": {"sha256": Checkpoint.load(checkpoint).sha256}, "model": describe_model(bert)}


@pytest.fixture(scope="module")
def made(about: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic atlas that says it is of the checkpoint."""
    path = tmp_path_factory.mktemp("atlas") / "atlas.duckdb"
    write_atlas(path, with_subject(about))
    return path


def with_subject(about: dict[str, Any]) -> dict[str, dict[str, Any]]:
    tables = {name: columns for name, columns in synthetic_tables().items() if name not in TABLES}
    facts = dict(zip(tables["provenance"]["key"], map(json.loads, tables["provenance"]["value"]), strict=True))
    facts = {key: {**value, **about[key]} if key in about else value for key, value in facts.items()}
    tables["provenance"] = {"key": list(facts), "value": [json.dumps(value) for value in facts.values()]}
    return tables


@pytest.fixture
def db(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made, tmp_path / "atlas.duckdb"))


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def printed(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def held(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    with Store(path) as store:
        return {name: store.table(name).rows() for name in TABLES}


def dense_norms(text: str, checkpoint: Path, model: LanguageModel) -> np.ndarray[Any, Any]:
    """Every expert's norm at every token of a short text, said the plain way: one window, no padding, no blocks."""
    smixae = Checkpoint.load(checkpoint).smixae
    ids = torch.tensor([model.tokenizer.encode(text)])
    x = model.rows(ids, torch.ones_like(ids))[0, 1:-1]
    return codes(x, smixae.weights, smixae.decoder_norm).norm(dim=2).numpy()


def test_norms_are_the_dictionarys_own_and_experts_that_come_near_are_kept(checkpoint: Path, bert: LanguageModel) -> None:
    smixae = Checkpoint.load(checkpoint).smixae

    found = trace(Document(0, TEXT, False), smixae, bert, StreamConfig(48))

    every = dense_norms(TEXT, checkpoint, bert)
    special = [token in bert.tokenizer.all_special_ids for token in found.token_ids]
    every[special] = 0
    near = np.flatnonzero(every.max(axis=0) >= NEAR * smixae.threshold)
    assert found.special == special and sum(special) == 1
    assert found.expert.tolist() == near.tolist() and 0 < len(near) < EXPERTS
    np.testing.assert_allclose(found.norms, every[:, near].T, rtol=1e-4)
    assert "".join(found.texts).replace(" ", "") == TEXT.lower().replace(" ", "").replace("[sep]", "[SEP]")


def test_a_long_prompt_is_cut_as_a_corpus_is(checkpoint: Path, bert: LanguageModel) -> None:
    """Windows of 48 tokens, two of them special, so that the 47th token begins another window and sees nothing of the first."""
    smixae = Checkpoint.load(checkpoint).smixae
    words = ["june", "monday", "atlas", "42", "ring", "helix", "sheet"] * 8
    whole = trace(Document(0, " ".join(words), False), smixae, bert, StreamConfig(48))
    ids = whole.token_ids
    alone = trace(Document(0, "", False, tuple(ids[46:])), smixae, bert, StreamConfig(48))

    assert whole.window == [0] * 46 + [1] * (len(ids) - 46)
    shared = sorted(set(whole.expert.tolist()) & set(alone.expert.tolist()))
    assert len(shared) > 3
    rows = [list(found.expert).index for found in (whole, alone)]
    for expert in shared:
        np.testing.assert_allclose(whole.norms[rows[0](expert), 46:], alone.norms[rows[1](expert)], rtol=1e-4)
    assert alone.text == "".join(alone.texts)


def test_the_strongest_experts_of_each_token_are_printed(checkpoint: Path, bert: LanguageModel) -> None:
    smixae = Checkpoint.load(checkpoint).smixae
    every = dense_norms("the atlas", checkpoint, bert)
    expected = [[int(expert) for expert in np.argsort(-row) if row[expert] > smixae.threshold] for row in every]

    (told,) = json.loads(printed("trace", "the atlas", "--checkpoint", checkpoint, "--top", 3, "--format", "json"))
    table = printed("trace", "the atlas", "--checkpoint", checkpoint, "--top", 3)
    rows = list(csv.DictReader(io.StringIO(printed("trace", "the atlas", "--checkpoint", checkpoint, "--format", "csv"))))

    assert [token["fire"] for token in told["tokens"]] == list(map(len, expected))
    assert [[one["expert"] for one in token["experts"]] for token in told["tokens"]] == [fired[:3] for fired in expected]
    assert told["threshold"] == pytest.approx(THRESHOLD)
    first = [line.split() for line in table.splitlines() if line.startswith("0 ")]
    assert first == [["0", "the", str(len(expected[0])), str(expected[0][0]), f"{every[0].max():.3g}"]]
    assert table.splitlines()[-1] == "An expert fires where its norm is above 3.2."
    assert [int(row["expert"]) for row in rows if row["position"] == "1"] == expected[1][:5]


def test_prompts_are_added_with_titles_and_none_twice(checkpoint: Path, db: Path, tmp_path: Path, bert: LanguageModel) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join(json.dumps(text) for text in (TEXT, "the atlas", TEXT)), encoding="utf-8")
    first = run("trace", "the  ATLAS", "--checkpoint", checkpoint, "--db", db)
    with Store(db) as store:
        titles = dict(store.table("titles").select("expert", "title").iter_rows())
        windows = store.table("windows")
    second = run("trace", "--file", file, "--checkpoint", checkpoint, "--db", db, "--format", "json")

    assert first.stderr.splitlines()[-1] == f"{db}: 1 prompt added. `atlas bake {db}` gives each a page."
    assert second.stderr.splitlines()[-1].startswith(f"{db}: 1 prompt added, 2 known already.")
    told = [one for prompt in json.loads(second.stdout) for token in prompt["tokens"] for one in token["experts"]]
    assert told and all(one["title"] == titles[one["expert"]] for one in told)
    found = held(db)
    assert found["prompts"] == [(0, "the  ATLAS"), (1, TEXT)]
    assert [row[3] for row in found["prompt_tokens"] if row[0] == 0] == [" the", " atlas"]
    every = dense_norms(TEXT, checkpoint, bert)
    prompt, expert, norms = next(row for row in found["prompt_norms"] if row[0] == 1)
    np.testing.assert_allclose([n for n in norms if n], [n for n, t in zip(every[:, expert], norms, strict=True) if t], rtol=1e-4)
    with Store(db) as store:
        assert store.table("windows").equals(windows)
    assert [path.name for path in tmp_path.glob(".*.part")] == []


def test_forget_takes_the_others_out(checkpoint: Path, db: Path) -> None:
    printed("trace", "the atlas", "--checkpoint", checkpoint, "--db", db)
    result = run("trace", TEXT, "--checkpoint", checkpoint, "--db", db, "--forget")

    assert "1 taken out, 1 prompt added." in result.stderr.splitlines()[-1]
    assert held(db)["prompts"] == [(0, TEXT)]


def test_what_is_forgotten_is_in_no_byte_and_rights_and_links_stay(about: dict[str, Any], db: Path) -> None:
    secret = "a-word-of-nobody-else"
    linked = db.with_name("linked.duckdb")
    linked.symlink_to(db.name)
    db.chmod(0o600)
    add_prompts(linked, [short(secret)], about)
    assert secret.encode() in db.read_bytes()
    add_prompts(linked, [short()._replace(token_ids=[6, 5])], about, forget=True)
    assert secret.encode() not in db.read_bytes() and held(db)["prompts"] == [(0, "the atlas")]
    assert linked.is_symlink() and db.stat().st_mode & 0o777 == 0o600


def short(text: str = "the atlas") -> Prompt:
    return Prompt(
        text, [5, 6], [" the", " atlas"], [0, 0], [False, False], np.array([3], np.int32), np.array([[0.7, 0.1]], np.float32)
    )


def test_an_atlas_that_was_written_meanwhile_is_left_alone(
    about: dict[str, Any], db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = _Written.copy

    def interfered(written: _Written, source: Path, without: Container[str]) -> None:
        real(written, source, without)
        monkeypatch.undo()
        other = tmp_path / "other.duckdb"
        write_atlas(other, with_subject(about))
        other.replace(source)

    monkeypatch.setattr(_Written, "copy", interfered)
    with pytest.raises(AtlasBusy, match="was written by another program meanwhile. Run the same command again"):
        add_prompts(db, [short()], about)
    assert held(db)["prompts"] == []
    assert [path.name for path in db.parent.iterdir()] == [db.name]


def test_stopped_while_it_writes_the_atlas_is_as_it_was(about: dict[str, Any], db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    before = db.read_bytes()
    (db.parent / f".{db.name}.999999999.part").write_bytes(b"of a run that was killed")
    monkeypatch.setattr("atlas.store.writing._Written.fill", stopped)
    with pytest.raises(KeyboardInterrupt):
        add_prompts(db, [short()], about)
    assert db.read_bytes() == before
    assert [path.name for path in db.parent.iterdir()] == [db.name]


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        ("dictionary", "sha256", "9" * 64, "is of another dictionary ('999999999999', here '"),
        (
            "model",
            "hook",
            "encoder.layer.0",
            f"is of another hook ('encoder.layer.0', here '{tiny.HOOKS['bert']}'). Give --db another atlas.",
        ),
        ("model", "revision_or_sha256", "8" * 64, "is of another model ('888888888888', here '"),
    ],
    ids=["dictionary", "hook", "model"],
)
def test_an_atlas_of_something_else_is_refused(
    part: str, key: str, value: str, message: str, checkpoint: Path, about: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "other.duckdb"
    write_atlas(path, with_subject({**about, part: {**about[part], key: value}}))
    before = path.read_bytes()

    result = run("trace", TEXT, "--checkpoint", checkpoint, "--db", path)

    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr.splitlines()[-1].startswith(f"Error: '{path}' ") and message in result.stderr.splitlines()[-1]
    assert path.read_bytes() == before


def lines(count: int) -> Callable[[Path], str]:
    return lambda folder: file_with(folder, "\n".join(['"june"'] * count))


def file_with(folder: Path, content: str) -> str:
    (folder / "prompts.jsonl").write_text(content, encoding="utf-8")
    return str(folder / "prompts.jsonl")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda _: (), "Give one text, or --file with prompts."),
        (lambda _: (" ",), "The text is empty; give one, or --file with prompts."),
        (lambda folder: ("june", "--file", lines(1)(folder)), "Give a text or --file, not both."),
        (lambda _: ("june", "--forget"), "--forget takes prompts out of an atlas; name it with --db."),
        (lambda _: ("june", "--db", "nowhere.duckdb"), "No atlas at 'nowhere.duckdb'. Run `atlas build` to write one."),
        (
            lambda folder: ("--file", lines(MOST + 1)(folder)),
            "has more than 1,000 prompts. Give fewer, or harvest it as a corpus.",
        ),
        (lambda folder: ("--file", file_with(folder, "")), "holds no prompt. Write one, or give another file."),
        (lambda folder: ("--file", file_with(folder, '"june"\n""')), "Prompt 2 holds no text. Leave it out."),
        (lambda _: ("june " * (LONGEST + 1),), "Prompt 1 has 1,025 tokens; a prompt has at most 1,024. Cut it into several."),
    ],
    ids=["nothing", "empty", "both", "forget what", "no atlas", "too many", "none", "blank", "too long"],
)
def test_what_cannot_be_traced_is_refused_in_one_line(
    arguments: Callable[[Path], tuple[str, ...]], message: str, checkpoint: Path, tmp_path: Path
) -> None:
    result = run("trace", *arguments(tmp_path), "--checkpoint", checkpoint)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ") and result.stderr.endswith(f"{message}\n") and result.stderr.count("\n") == 1
