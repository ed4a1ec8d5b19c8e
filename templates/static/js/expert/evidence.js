"use strict";
// What an expert's firings on one corpus show: contexts, tokens, norms.
(() => {
  const { make, draw, count, number, aligned, percent, percents, token } = atlas.words;
  const { split, line } = atlas.contexts;
  const { bar, table } = atlas.tables;
  const CONTEXT_TOKENS = 12;
  const AT_FIRST = 10;   // of the strongest contexts; the others are folded
  const STRATA = { top: "Strongest", q75: "Highest quarter by norm", q50: "Second quarter", q25: "Third quarter", q0: "Lowest quarter" };

  function contexts(record, { contexts: strata, sampled }) {
    const most = Math.max(...strata.flatMap(({ norm }) => norm));
    const nodes = strata.map(({ stratum, norm, tokens }) => {
      const rows = norm.map((one, at) => context(record, one, tokens[at], one / most));
      const some = stratum === "top" ? rows.slice(0, AT_FIRST) : rows;
      const rest = rows.slice(some.length);
      return make("div", { role: "group", "aria-label": STRATA[stratum] }, make("h4", {}, STRATA[stratum]), make("ol", {}, ...some),
        ...(rest.length ? [make("details", {}, make("summary", {}, `${rest.length} more`), make("ol", { start: some.length + 1 }, ...rest))] : []));
    });
    const banded = strata.findIndex(({ stratum }) => stratum !== "top");
    if (banded >= 0) nodes.splice(banded, 0, make("p", { class: "note" }, `Up to five from each quarter, by norm, of ${sampled}:`));
    return nodes;
  }

  function context(record, norm, tokens, level) {
    const around = split(tokens.map((index) => record.texts[index]), CONTEXT_TOKENS);
    return make("li", {}, make("span", { class: "norm" }, aligned(norm)), line(around, level));
  }

  function tokens(record, { tokens: listed }) {
    const most = Math.max(...listed.share);
    const rows = listed.text.map((index, at) => make("tr", {},
      make("th", { scope: "row", class: "token" }, ...token(record.texts[index])),
      make("td", { class: "bar" }, bar(listed.share[at] / most)),
      make("td", {}, percents(listed.share[at], listed.share_low[at], listed.share_high[at])),
      make("td", {}, count(listed.count[at])),
      make("td", {}, `${number(listed.lift[at])}×`)));
    return [table(["Token", "", "Share", "Firings", "Lift"], rows), make("p", { class: "note" }, `Counted on ${listed.sampled}; in brackets the share’s 95\u202f% interval.`)];
  }

  function norms(record, { task, stats, norms: { bin, lower, count: counts } }) {
    const fired = `${count(stats.firings)} firings, on ${percent(stats.rate)} of the tokens, in ${count(stats.documents)} of ${count(record.task(task).documents)} documents.`;
    // Bins are powers of the threshold: there are none without one.
    if (!(lower[0] > 0)) return make("p", { class: "note" }, `${fired} The threshold is 0, so that norms are not counted in bins.`);
    const [width, height, foot] = [440, 96, 18];
    const low = Math.log2(lower[0]) - bin[0] / 8;   // the threshold
    const high = Math.log2(lower.at(-1)) + 1 / 8;
    const most = Math.max(...counts);
    const at = (value) => (Math.log2(value) - low) / (high - low) * width;
    const slot = width / (high - low) / 8;
    const picture = draw("svg", { class: "histogram", viewBox: `0 0 ${width} ${height + foot}`, role: "img", "aria-label": `Norms from ${number(lower[0])} to ${number(2 ** high)}, most often near ${number(lower[counts.indexOf(most)])}` });
    lower.forEach((from, bin) => {
      const tall = counts[bin] / most * (height - 4);
      picture.append(draw("rect", { x: at(from) + 0.5, y: height - tall, width: Math.max(1, slot - 1), height: tall }));
    });
    picture.append(draw("path", { class: "axis", d: `M0 ${height}.5H${width}` }));
    const quantiles = [stats.norm_q10, stats.norm_q50, stats.norm_q90];
    picture.append(draw("path", { class: "quantiles", d: quantiles.map((value) => `M${at(value).toFixed(1)} 0V${height}`).join("") }));
    const ticks = [0, 1, 2, 3, 4, 5, 6].map((doubling) => low + doubling).filter((tick) => tick <= high + 1e-9);
    ticks.forEach((tick, index) => {
      const x = (tick - low) / (high - low) * width;
      picture.append(draw("text", { x, y: height + 14, "text-anchor": index === 0 ? "start" : x > width - 20 ? "end" : "middle" }, number(2 ** tick)));
    });
    const [low_, median, high_] = quantiles.map(number);
    const facts = [
      fired,
      `Lines: one norm in ten is below ${low_}, half are below ${median}, one in ten is above ${high_}; one in a hundred is above ${number(stats.norm_q99)}.`,
      "Logarithmic axis, from the threshold up.",
    ];
    return make("figure", {}, picture, make("figcaption", { class: "note" }, facts.join(" ")));
  }

  atlas.evidence = { contexts, tokens, norms };
})();
