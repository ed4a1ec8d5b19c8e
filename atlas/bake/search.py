"""The search index: texts of tokens, words of titles and words of contexts ► the experts that have them, in shards."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas.bake.arrays import narrow, typed
from atlas.bake.columns import counts

Array = npt.NDArray[Any]

SHARE_STEPS = 65_535
POSTINGS = 65_536
"""Postings after which a shard ends with the text that it is in: a file of some hundred kilobytes."""
COMMON_SHARE, COMMON_EXPERTS = 0.05, 20
"""A word in the contexts of more than both, of experts and as many, tells none of them from the others."""
NORMAL_95 = 1.959963984540054


def is_mark(sign: str) -> bool:
    """Return whether a sign belongs to the one before it: an accent, a vowel sign, a virama."""
    return unicodedata.category(sign).startswith("M")


def _marks() -> str:
    """Return all such signs as ranges of a class of a regular expression, which has no name for them."""
    # Beyond these planes there are none.
    codes = [code for code in (*range(0x300, 0x20000), *range(0xE0000, 0xE0200)) if is_mark(chr(code))]
    firsts = [code for before, code in zip([0, *codes], codes, strict=False) if code != before + 1]
    lasts = [code for code, behind in zip(codes, [*codes[1:], 0], strict=True) if behind != code + 1]
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in zip(firsts, lasts, strict=True))


WORD = re.compile(rf"[^\W_]+(?:[{_marks()}]+[^\W_]*)*")
"""A run of letters and numbers, with the marks on them."""


def folded(text: str) -> str:
    """Return text with case and width folded as the page folds what is typed, by way of capitals: a script has no casefold."""
    return unicodedata.normalize("NFKC", text).upper().lower().replace("ς", "σ")


def searched(text: str) -> str:
    """Return a token's text as it is looked up: without the space before it or the mark of a word's inside, case folded."""
    stripped = folded(text).strip()
    return stripped.removeprefix("##") or stripped


@dataclass(frozen=True)
class Index:
    """Texts and the experts that have them."""

    texts: Sequence[str]
    """Sorted by UTF-16 code unit, as scripts compare."""
    starts: Array
    """Text i's experts are rows `starts[i]` to before `starts[i + 1]` of the postings."""
    postings: pl.DataFrame
    """`row` of the manifest, `weight` where there is one, and what else is known; the heaviest of a text come first."""

    @classmethod
    def of(cls, texts: Sequence[str], postings: pl.DataFrame) -> Index:
        """Sort postings whose `text` is a place in `texts`; texts without any are left out."""
        # Bytes of UTF-16, the higher one first, compare as its code units do.
        met = sorted(postings["text"].unique().to_list(), key=lambda place: texts[place].encode("utf-16-be", "surrogatepass"))
        rank = np.zeros(len(texts), np.uint32)
        rank[met] = np.arange(len(met))
        heaviest = ["weight"] if "weight" in postings.columns else []
        ranked = postings.with_columns(text=pl.Series(rank[postings["text"].to_numpy()], dtype=pl.UInt32))
        ranked = ranked.sort(["text", *heaviest, "row"], descending=[False, *(True for _ in heaviest), False])
        sizes = np.bincount(ranked["text"].to_numpy(), minlength=len(met))
        return cls([texts[place] for place in met], np.concatenate([[0], np.cumsum(sizes)]), ranked.drop("text"))

    def shards(self) -> Iterator[Index]:
        """Cut the index where a text begins, so that no part holds many more than POSTINGS; a text is never cut."""
        part = self.starts[:-1] // POSTINGS
        firsts = np.flatnonzero(np.diff(part, prepend=-1)).tolist()
        for first, end in zip(firsts, [*firsts, len(self.texts)][1:], strict=True):
            low, high = self.starts[first], self.starts[end]
            yield Index(self.texts[first:end], self.starts[first : end + 1] - low, self.postings[int(low) : int(high)])

    def payload(self) -> dict[str, Any]:
        """Return what a query looks up."""
        return {
            "texts": list(self.texts),
            "starts": typed(narrow(self.starts)),
            "rows": counts(self.postings["row"]),
            **({"weight": counts(self.postings["weight"])} if "weight" in self.postings.columns else {}),
        }

    def figures(self) -> dict[str, Any]:
        """Return what a token's own page says of each pair, in the order of the payload's rows."""
        floats = {name: typed(self.postings[name].to_numpy().astype(np.float32)) for name in ("lift", "low", "high")}
        return floats | {"count": counts(self.postings["count"])}


def token_index(tokens: pl.DataFrame, vocabulary: Mapping[int, str], experts: Sequence[int]) -> Index:
    """Return the index of a corpus' `expert_tokens`; `experts` are their numbers in the order of the manifest.

    A pair weighs the part of the expert's sampled firings that is on the text, in steps of 1 / 65,535. Tokens of equal text, such
    as one with and one without a space before it, are one: their counts and shares are added, their lift is the share over the
    sum of their base rates.
    """
    texts: dict[str, int] = {}
    seen = tokens["token"].unique().sort()
    of = pl.DataFrame(
        {"token": seen, "text": [texts.setdefault(searched(vocabulary[token]), len(texts)) for token in seen]},
        schema={"token": seen.dtype, "text": pl.UInt32},
    )
    found = (
        tokens.join(of, on="token")
        .filter(pl.col("text") != texts.get("", -1))
        .join(_places(experts), on="expert")
        .group_by("text", "row")
        .agg(
            pl.col("share").sum(),
            base=(pl.col("share") / pl.col("lift")).sort().sum(),
            count=pl.col("count").cast(pl.Int64).sum(),
            sampled=pl.col("sampled").first(),
        )
    )
    low, high = share_interval(found["count"].to_numpy(), found["sampled"].to_numpy())
    return Index.of(
        list(texts),
        found.select(
            "text",
            "row",
            "count",
            weight=(pl.col("share").clip(0, 1) * SHARE_STEPS).round().cast(pl.UInt16),
            lift=pl.col("share") / pl.col("base"),
            low=pl.Series(low, dtype=pl.Float64),
            high=pl.Series(high, dtype=pl.Float64),
        ),
    )


def share_interval(count: Array, n: Array) -> tuple[Array, Array]:
    """Return the 95 % interval of shares (Wilson), as the table `expert_tokens` has it for one token."""
    share, z2 = count / n, NORMAL_95**2
    middle, reach = share + z2 / (2 * n), NORMAL_95 * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return np.maximum((middle - reach) / (1 + z2 / n), 0.0), np.minimum((middle + reach) / (1 + z2 / n), 1.0)


def title_index(titles: Sequence[str]) -> Index:
    """Return the index of the words of titles, which stand in the order of the manifest."""
    texts: dict[str, int] = {}
    pairs = [
        (texts.setdefault(word, len(texts)), row)
        for row, title in enumerate(titles)
        for word in sorted(set(WORD.findall(folded(title))))
    ]
    return Index.of(list(texts), pl.DataFrame(pairs, schema={"text": pl.UInt32, "row": pl.UInt32}, orient="row"))


def context_index(texts: Sequence[str], found: pl.DataFrame, n_experts: int) -> tuple[Index, list[str]]:
    """Return the index of the words of contexts, and the words that it leaves out because too many experts have them.

    `found` has a row for each `text`, as a place in `texts`, and `row` of the manifest, which weighs in how many of its contexts
    the word is.
    """
    experts = np.bincount(found["text"].to_numpy(), minlength=len(texts))
    common = experts > max(COMMON_EXPERTS, COMMON_SHARE * n_experts)
    kept = found.filter(~pl.Series(common[found["text"].to_numpy()], dtype=pl.Boolean))
    return Index.of(texts, kept), sorted(texts[place] for place in np.flatnonzero(common).tolist())


def _places(experts: Sequence[int]) -> pl.DataFrame:
    return pl.DataFrame({"expert": experts, "row": range(len(experts))}, schema={"expert": pl.Int32, "row": pl.UInt32})
