"use strict";
// What an expert's firings on one corpus show: contexts, tokens, norms, places in the window.
(() => {
  const { make, count, counted, number, aligned, percent, percents, token } = atlas.words;
  const { load, unpack } = atlas.payloads;
  const { bar, row, table } = atlas.tables;
  const { term } = atlas.definitions;
  const { split, line, passage } = atlas.contexts;
  const CONTEXT_TOKENS = 12;
  const REACHES = { __proto__: null, 24: 24, window: Infinity };   // tokens to each side, by what the address asks for
  const AT_FIRST = 10;   // of the strongest contexts; the others are folded
  const STRATA = { top: "Strongest", q75: "Highest quarter by norm", q50: "Second quarter", q25: "Third quarter", q0: "Lowest quarter" };

  // shown: of the payload's corpora; reach: of the address. Strata of contexts, each with its words decoded.
  async function read(record, shown, reach) {
    const wide = REACHES[reach] === undefined ? null : await windows(record, shown.task);
    return shown.contexts.map(({ stratum, norm, tokens, around }, place) => ({
      stratum, norm,
      contexts: norm.map((_, at) => {
        const fires = around ? Array.from(around[at], Number) : null;
        if (wide === null) return split(tokens[at].map((index) => record.texts[index]), CONTEXT_TOKENS, fires);
        const { words, at: middle } = wide[place][at];
        const first = Math.max(0, middle - REACHES[reach]);
        return split(words.slice(first, middle + REACHES[reach] + 1), middle - first, fires);
      }),
    }));
  }

  // Of each stratum the windows of its contexts, in their order.
  async function windows(record, task) {
    const experts = await load(`windows/${Math.floor(record.row / record.manifest.shards.experts)}`);
    const { contexts } = experts[record.expert].find((one) => one.task === task);
    return Promise.all(contexts.map(async ({ tokens, length, at }) => {
      const indices = await unpack(tokens);
      let end = 0;
      return length.map((long, place) => {
        end += long;
        return { words: Array.from(indices.subarray(end - long, end), (index) => record.texts[index]), at: at[place] };
      });
    }));
  }

  function contexts(strata, { sampled }, isWide) {
    const most = Math.max(...strata.flatMap(({ norm }) => norm));
    const told = isWide ? passage : line;
    const nodes = strata.map(({ stratum, norm, contexts: some }) => {
      const items = some.map((context, at) => make("li", {}, make("span", { class: "norm" }, aligned(norm[at])), told(context, norm[at] / most)));
      const first = stratum === "top" ? items.slice(0, AT_FIRST) : items;
      const rest = items.slice(first.length);
      return make("div", { role: "group", "aria-label": STRATA[stratum] }, make("h4", {}, STRATA[stratum]), make("ol", {}, ...first),
        ...(rest.length ? [make("details", {}, make("summary", {}, `${rest.length} more`), make("ol", { start: first.length + 1 }, ...rest))] : []));
    });
    const banded = strata.findIndex(({ stratum }) => stratum !== "top");
    if (banded >= 0) nodes.splice(banded, 0, make("p", { class: "note" }, "Up to five from each ", term("quantile bands", "quarter, by norm,"), ` of ${sampled}:`));
    return [...nodes, shades()];
  }

  const shades = () => make("p", { class: "note" }, "In front: the ", term("norm", "norm"), ". The ", term("shades", "shade"),
    " of the middle token is its norm over the largest shown. Underlined tokens beside it, at most twelve to a side, are those on which the expert fires too: dotted less than half as strongly, thin less strongly, thick at least as strongly.");

  function tokens(record, { tokens: listed }) {
    const most = Math.max(...listed.share);
    const rows = listed.text.map((index, at) => {
      const shown = row("", bar(listed.share[at] / most), percents(listed.share[at], listed.share_low[at], listed.share_high[at]), count(listed.count[at]), `${number(listed.lift[at])}×`);
      shown.cells[0].classList.add("token");
      shown.cells[0].replaceChildren(...token(record.texts[index]));
      return shown;
    });
    return [
      table(["Token", "", term("share", "Share"), term("firing", "Firings"), term("lift of a token", "Lift")], rows),
      make("p", { class: "note" }, `Counted on ${listed.sampled}; in brackets the share’s 95\u202f% interval.`),
    ];
  }

  function norms(record, { task, stats, norms: found }) {
    const fired = [
      `${count(stats.firings)} `, term("firing", stats.firings === 1 ? "firing" : "firings"), ", on ", term("rate", `${percent(stats.rate)} of the tokens`),
      `, in ${count(stats.documents)} of ${counted(record.task(task).documents, "document")}.`,
    ];
    // Bins are powers of the threshold: there are none without one.
    if (!(found.lower[0] > 0)) return make("p", { class: "note" }, ...fired, " The threshold is 0, so that norms are not counted in bins.");
    const [low, median, high] = [stats.norm_q10, stats.norm_q50, stats.norm_q90].map(number);
    return make("figure", {}, atlas.histogram(found, stats), make("figcaption", { class: "note" }, ...fired, " ", term("norms", "Lines"),
      `: one norm in ten is below ${low}, half are below ${median}, one in ten is above ${high}; one in a hundred is above ${number(stats.norm_q99)}. Logarithmic axis, from the `,
      term("threshold", "threshold"), " up."));
  }

  function positions({ positions: { lower, upper, firings, rate } }) {
    const most = Math.max(...rate);
    const place = (at) => (upper[at] === lower[at] ? count(lower[at]) : `${count(lower[at])}–${count(upper[at])}`);
    const rows = lower.map((_, at) => row(place(at), bar(rate[at] / most), percent(rate[at]), count(firings[at])));
    return [
      table(["Tokens into the window", "", term("rate by position", "Rate"), term("firing", "Firings")], rows),
      make("p", { class: "note" }, "Special tokens are left out: 0 is the first token of text, which has nothing before it but such as these."),
    ];
  }

  atlas.evidence = { read, contexts, tokens, norms, positions, REACHES };
})();
