"""The labelled sentences that come with the atlas: enough of them, well spread, and well formed."""

from __future__ import annotations

import math
import re
import string
import tomllib
from collections import Counter
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import atlas
from atlas.probe.tasks import BUILTIN_TASKS, load_task

BUILTIN = Path(atlas.__file__).parent / "probe" / "builtin"

DEFINITIONS = ("emotions",)
"""Files without templates: labels and hypotheses for sentences that the user brings."""

PREPOSITIONS = """
    about above across after against around at before below beside beyond by down during for from in inside into like near of
    off on onto over past per since through to towards under until up with within without
""".split()

DETERMINERS = "the that this each every one no her his its my our their your".split()

CUES = {
    "hours": "morning afternoon evening night overnight noon dawn dusk sun moon dark breakfast lunch dinner supper sleep asleep",
    "temperatures": "hot cold cool warm heat freez frozen frost boil steam ice icy snow mild chill scorch fever melt thaw burn",
    "time_units": "long short brief instant fleeting quick slow eternity calendar histor birthday generation moment",
    "body_parts": "hair eye nose mouth finger thumb toe shoe sock glove hat sleeve belt stomach throat left right walk wave nod",
    "living_things": "leaf leaves root petal bloom seed wing feather shell web nest egg swim swam fly flew sing bark crawl hunt",
}
"""Words, with any ending, that would give a label away."""

TASKS: dict[str, tuple[str, bool, int, dict[str, str]]] = {
    "months": ("calendar", True, 12, {"cyc_12m": "ring 12", "season": "4 classes", "ordinal": "linear"}),
    "weekdays": ("calendar", True, 7, {"cyc_7d": "ring 7", "weekday_weekend": "2 classes", "ordinal": "linear"}),
    "numbers": ("number", False, 100, {"linear": "linear", "log": "log", "mod_10": "ring 10"}),
    "years": ("number", False, 100, {"linear": "linear", "mod_10": "ring 10"}),
    "hours": (
        "time",
        True,
        24,
        {"cyc_24h": "ring 24", "cyc_12h": "ring 12", "am_pm": "2 classes", "ordinal": "linear"},
    ),
    "temperatures": ("number", False, 213, {"linear_f": "linear", "log_f": "log"}),
    "time_units": ("time", False, 10, {"log_duration": "linear"}),
    "body_parts": ("body", False, 16, {}),
    "living_things": ("nature", False, 14, {"plant_animal": "2 classes", "taxonomy": "7 classes"}),
    "colours": ("colour", True, 8, {"hue_wheel": "ring of degrees", "rgb": "map of 3", "warm_nat_cool": "3 classes"}),
    "letters": ("letter", False, 26, {"ordinal": "linear", "vowel": "2 classes"}),
    "letter_case": ("letter", False, 52, {"case": "2 classes", "ordinal": "linear"}),
    "compass": ("direction", True, 8, {"cyc_8": "ring 8", "cardinal": "2 classes"}),
    "ordinals": ("number", False, 20, {"ordinal": "linear", "log": "log"}),
    "ages": ("number", False, 90, {"linear": "linear", "log": "log", "life_stage": "4 classes"}),
}
"""Of each task: its family, whether it goes round, how many labels it has, and its hypotheses with what each is about."""


@cache
def raw(name: str) -> dict[str, Any]:
    """A file as it stands."""
    return tomllib.loads((BUILTIN / f"{name}.toml").read_text(encoding="utf-8"))


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One task as its file has it."""
    return raw(request.param)


@pytest.fixture(params=[*TASKS, *DEFINITIONS])
def definition(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One file that has labels and hypotheses, be it with templates or without."""
    return raw(request.param)


def texts(task: dict[str, Any]) -> list[str]:
    return [template["text"] for template in task["templates"]]


def labels(task: dict[str, Any]) -> list[str]:
    given = task["labels"]
    if isinstance(given, list):
        return given
    return [f"{n}{given.get('suffix', '')}" for n in range(given["first"], given["last"] + 1)]


def slots(text: str) -> list[str]:
    return [field for _, field, _, _ in string.Formatter().parse(text) if field is not None]


def without_slots(text: str) -> str:
    return re.sub(r"\{\w+\}", "_", text)


def any_of(words: Iterable[str]) -> str:
    return "(?:" + "|".join(sorted(map(re.escape, words), key=len, reverse=True)) + ")"


def stated(hypothesis: dict[str, Any]) -> str:
    """What a hypothesis is about, in short."""
    match hypothesis["kind"]:
        case "ring":
            return f"ring {hypothesis['period']}" if "period" in hypothesis else "ring of degrees"
        case "map":
            return f"map of {len(hypothesis['targets'][0])}" if "targets" in hypothesis else "map of columns"
        case "classes":
            return f"{len(hypothesis['classes'])} classes"
        case kind:
            return str(kind)


def hypothesis(task: str, name: str) -> dict[str, Any]:
    (found,) = (one for one in raw(task)["hypotheses"] if one["name"] == name)
    return found


def class_of(task: str, name: str) -> list[int]:
    """Each label's class, as its place in the list of classes."""
    classes = list(hypothesis(task, name)["classes"].values())
    return [next(i for i, members in enumerate(classes) if label in members) for label in labels(raw(task))]


def label_part(text: str) -> str:
    """Third of the sentence, in words, in which the label stands."""
    in_order = text.split()
    (place,) = (i for i, word in enumerate(in_order) if "{label}" in word)
    return ("start", "middle", "end")[3 * place // len(in_order)]


# What there is


def test_every_file_is_tested_and_every_task_has_one() -> None:
    assert {path.stem for path in BUILTIN.glob("*.toml")} == {*TASKS, *DEFINITIONS}
    assert tuple(TASKS) == BUILTIN_TASKS


@pytest.mark.parametrize("name", TASKS)
def test_task_has_its_labels_and_hypotheses(name: str) -> None:
    family, cyclic, n_labels, hypotheses = TASKS[name]
    task = raw(name)
    assert (task["name"], task["family"], task["cyclic"]) == (name, family, cyclic)
    assert len(labels(task)) == len(set(labels(task))) == n_labels
    assert {one["name"]: stated(one) for one in task["hypotheses"]} == hypotheses


@pytest.mark.parametrize("name", TASKS)
def test_task_loads_with_each_label_in_as_many_templates_as_any_other(name: str) -> None:
    task = load_task(BUILTIN / f"{name}.toml")
    per_label = Counter(sentence.label for sentence in task.sentences)
    assert set(per_label.values()) == {raw(name).get("templates_per_label", len(texts(raw(name))))}
    assert len(per_label) == len(task.labels)
    assert all(sentence.text[sentence.start : sentence.end] == task.labels[sentence.label] for sentence in task.sentences)


def test_no_file_has_a_second_name_for_a_label_or_a_title(definition: dict[str, Any]) -> None:
    for key in ("name", "title"):
        given = [one[key] for one in definition["hypotheses"]]
        assert len(given) == len(set(given))


def test_each_label_is_in_exactly_one_class(definition: dict[str, Any]) -> None:
    for one in definition["hypotheses"]:
        if one["kind"] == "classes":
            members = [label for of_class in one["classes"].values() for label in of_class]
            assert sorted(members) == sorted(labels(definition))


def test_values_degrees_targets_and_colours_are_given_for_each_label(definition: dict[str, Any]) -> None:
    of_label = [definition[key] for key in ("values", "colours") if key in definition]
    of_label += [one[key] for one in definition["hypotheses"] for key in ("degrees", "targets") if key in one]
    assert all(len(given) == len(labels(definition)) for given in of_label)
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in definition.get("colours", []))


# Targets that are written out


def test_seasons_begin_in_december_march_june_and_september() -> None:
    assert class_of("months", "season") == [(i + 1) // 3 % 4 for i in range(12)]


def test_weekend_is_the_last_two_days() -> None:
    assert class_of("weekdays", "weekday_weekend") == [int(i >= 5) for i in range(7)]


def test_hours_are_written_as_a_twelve_hour_clock_writes_them() -> None:
    on_the_clock = [f"{(h - 1) % 12 + 1} {'AM' if h < 12 else 'PM'}" for h in raw("hours")["values"]]
    assert labels(raw("hours")) == on_the_clock
    assert sorted(raw("hours")["values"]) == list(range(24))
    assert class_of("hours", "am_pm") == [int(h >= 12) for h in raw("hours")["values"]]


def test_temperatures_carry_their_unit() -> None:
    assert [labels(raw("temperatures"))[f] for f in (0, 98, 212)] == ["0°F", "98°F", "212°F"]


def test_time_units_lie_at_the_logarithm_of_their_seconds() -> None:
    minute, hour, day, year = 60, 3600, 86_400, 365 * 86_400
    seconds = [0.001, 1, minute, hour, day, 7 * day, year / 12, year, 10 * year, 100 * year]
    assert raw("time_units")["values"] == pytest.approx([math.log10(n) for n in seconds], abs=1e-6)


def test_plants_come_before_animals_and_taxa_in_the_order_of_labels() -> None:
    assert class_of("living_things", "plant_animal") == [0] * 6 + [1] * 8
    assert class_of("living_things", "taxonomy") == [0] * 6 + [1] * 3 + [2, 3, 4, 5, 6]


def test_warm_colours_hues_and_rgb_agree() -> None:
    """Cool colours have more blue than red; hues follow from red, green and blue within 20 degrees."""
    degrees, rgb = hypothesis("colours", "hue_wheel")["degrees"], hypothesis("colours", "rgb")["targets"]
    for angle, (red, green, blue), kind in zip(degrees, rgb, class_of("colours", "warm_nat_cool"), strict=True):
        hue = math.degrees(math.atan2(math.sqrt(3) * (green - blue), 2 * red - green - blue))
        assert abs((hue - angle + 180) % 360 - 180) <= 20
        assert (kind == 2) == (blue > red)


def test_letters_come_in_order_with_five_vowels() -> None:
    assert labels(raw("letters")) == list(string.ascii_uppercase)
    assert set(hypothesis("letters", "vowel")["classes"]["vowel"]) == set("AEIOU")


def test_letter_case_has_each_letter_small_and_capital_at_one_place() -> None:
    task = raw("letter_case")
    assert labels(task) == [letter for small in string.ascii_lowercase for letter in (small, small.upper())]
    assert task["values"] == [i // 2 for i in range(52)]
    assert {frozenset(of_class) for of_class in hypothesis("letter_case", "case")["classes"].values()} == {
        frozenset(string.ascii_lowercase),
        frozenset(string.ascii_uppercase),
    }
    assert task["needs"] == ["case"]


def test_compass_goes_clockwise_from_north() -> None:
    assert labels(raw("compass"))[::2] == ["north", "east", "south", "west"]
    assert all(a in label and b in label for label, a, b in _intercardinals())
    assert class_of("compass", "cardinal") in ([0, 1] * 4, [1, 0] * 4)


def _intercardinals() -> list[tuple[str, str, str]]:
    named = labels(raw("compass"))
    return [(named[i], named[i - 1], named[(i + 1) % 8]) for i in range(1, 8, 2)]


def test_ordinals_count_from_one() -> None:
    assert raw("ordinals")["values"] == list(range(1, 21))
    assert [labels(raw("ordinals"))[n - 1] for n in (1, 2, 11, 20)] == ["first", "second", "eleventh", "twentieth"]


def test_stages_of_life_are_runs_of_ages() -> None:
    stages = hypothesis("ages", "life_stage")["classes"].values()
    assert [(int(of_stage[0]), int(of_stage[-1]), len(of_stage)) for of_stage in stages] == [
        (1, 12, 12),
        (13, 19, 7),
        (20, 64, 45),
        (65, 90, 26),
    ]


def test_emotions_are_goemotions_with_its_groups() -> None:
    task = raw("emotions")
    assert "templates" not in task
    assert len(labels(task)) == 28
    assert labels(task) == sorted(labels(task))
    assert Counter(task["colours"]) == {"#1a6fcc": 12, "#cc0000": 11, "#e6c800": 4, "#888888": 1}
    by_colour: dict[str, set[str]] = {}
    for label, colour in zip(labels(task), task["colours"], strict=True):
        by_colour.setdefault(colour, set()).add(label)
    groups = hypothesis("emotions", "sentiment")["classes"].values()
    assert sorted(map(sorted, groups)) == sorted(map(sorted, by_colour.values()))


# Sentences


def test_there_are_enough_templates_in_enough_groups(task: dict[str, Any]) -> None:
    groups = Counter(template["group"] for template in task["templates"])
    assert groups.total() >= 36
    assert len(groups) >= 9
    assert min(groups.values()) >= 4


def test_each_template_names_its_label_once(task: dict[str, Any]) -> None:
    assert [text for text in texts(task) if slots(text).count("label") != 1] == []


def test_no_template_names_another_label(task: dict[str, Any]) -> None:
    """Neither a label nor its plural; but the article "a" and the pronoun "I" are no letters."""
    one_letter = task["family"] == "letter"
    named = any_of({*labels(task)} - {"a", "A", "I"} if one_letter else labels(task))
    pattern = re.compile(rf"(?<!\w){named}" + ("" if one_letter else "(?:s|es)?") + r"(?!\w)", 0 if one_letter else re.IGNORECASE)
    assert [text for text in texts(task) if pattern.search(without_slots(text).replace("'s", "_"))] == []


@pytest.mark.parametrize("name", CUES)
def test_no_template_gives_its_label_away(name: str) -> None:
    cue = re.compile(rf"\b{any_of(CUES[name].split())}", re.IGNORECASE)
    assert [text for text in texts(raw(name)) if cue.search(without_slots(text))] == []


@pytest.mark.parametrize("name", TASKS)
def test_article_before_the_label_suits_every_label(name: str) -> None:
    """ "An" stands before none, "a" only before labels of which none begins with the sound of a vowel."""
    articles = {found.lower() for text in texts(raw(name)) for found in re.findall(r"\b(an?) \{label\}", text, re.IGNORECASE)}
    takes_an = [label for label in labels(raw(name)) if re.match(r"[aeiouAEIOU]|hour|8|11\b|18(?!\d)|[FHLMNRSX]\b", label)]
    assert articles <= (set() if takes_an else {"a"})


def test_no_sentence_begins_with_a_small_letter(task: dict[str, Any]) -> None:
    if any(label[0].islower() for label in labels(task)):
        assert [text for text in texts(task) if re.search(r'(^|[.?!:] )"?\{label\}', text)] == []


def test_slots_are_all_filled_and_fills_all_used(task: dict[str, Any]) -> None:
    used = {slot for text in texts(task) for slot in slots(text)} - {"label"}
    assert used == set(task["fills"])


def test_a_quarter_to_a_half_of_the_templates_carry_one_name(task: dict[str, Any]) -> None:
    n_names = [len(slots(text)) - 1 for text in texts(task)]
    assert max(n_names) == 1
    assert 0.25 <= sum(n_names) / len(n_names) <= 0.5


def test_names_are_single_words_and_no_labels(task: dict[str, Any]) -> None:
    in_use = {label.lower() for name in TASKS for label in labels(raw(name))}
    for names in task["fills"].values():
        assert len(names) == len(set(names)) >= 6
        assert all(name.isalpha() and name.istitle() and name.lower() not in in_use for name in names)


def test_sentences_have_six_to_twenty_words(task: dict[str, Any]) -> None:
    assert [text for text in texts(task) if not 6 <= len(text.split()) <= 20] == []


def test_label_stands_at_the_start_in_the_middle_and_at_the_end(task: dict[str, Any]) -> None:
    parts = Counter(label_part(text) for text in texts(task))
    assert min(parts[part] for part in ("start", "middle", "end")) >= 0.2 * parts.total()


def test_label_stands_with_and_without_a_preposition(task: dict[str, Any]) -> None:
    """At once before the label, or with "the", "my", "each" and the like between."""
    preposition = re.compile(rf"\b{any_of(PREPOSITIONS)} (?:{any_of(DETERMINERS)} )?\{{label\}}", re.IGNORECASE)
    after = Counter(preposition.search(text) is not None for text in texts(task))
    assert min(after[True], after[False]) >= 0.25 * after.total()


def test_templates_are_sentences_in_plain_characters(task: dict[str, Any]) -> None:
    """They begin with a capital or a slot, end as sentences do, and have straight quotes and single spaces."""
    for text in texts(task):
        assert re.fullmatch(r'"?[A-Z{].*[.?!]"?', text)
        assert "  " not in text
        assert re.search(r"[‘’“”…–—]", text) is None  # noqa: RUF001
        assert text.count('"') % 2 == 0


def test_no_two_templates_are_near_duplicates() -> None:
    """Nowhere, in one task or two, are more than half of the words of two templates shared in order."""
    in_words = [re.findall(r"[\w{}']+", text.lower()) for name in TASKS for text in texts(raw(name))]
    # Words that are shared in order are shared in any order, which is cheaper to count.
    near = [
        (a, b)
        for (a, of_a), (b, of_b) in combinations([(words, Counter(words)) for words in in_words], 2)
        if 2 * sum(min(n, of_b[word]) for word, n in of_a.items()) > 0.5 * (len(a) + len(b))
    ]
    assert [(a, b) for a, b in near if SequenceMatcher(None, a, b, autojunk=False).ratio() > 0.5] == []
