"use strict";
// What an expert's cloud looks like on one source, and how few axes keep its importance: sentences, thin bars, a folded table of tests.
(() => {
  const { make, count, number, percent, probability } = atlas.words;
  const STATISTICS = {
    loop: "Hole: closes at ÷ opens at",
    gap: "Widest gap ÷ rms",
    local_dimension: "Dimensions up close",
    thickness: "Off first axis ÷ along it",
    flatness: "Off two axes ÷ along second",
    bend: "Bend",
  };

  const THIN = ["thickness", "flatness"];
  const BENT = " Bend: the share of variance off the first axis that follows from the place along it.";
  const BOUNDARY = ` Of “${STATISTICS.thickness}” and “${STATISTICS.flatness}” the median is the boundary, from which on a cloud is too thick for a line or a sheet.`;

  // shape: of the payload, or undefined where the source has none; others: [{ name, shape }] of the other sources.
  function shape(shown, source, others) {
    if (!shown) return [make("p", {}, `No shape on ${source}: it fires on fewer than half of its labels.`), ...elsewhere(others)];
    const sentences = shown.said.map((sentence, at) => make("p", at ? { class: "note" } : {}, sentence));
    if (shown.class === null) return [...sentences, ...elsewhere(others)];
    return [...sentences, make("p", { class: "note" }, shown.measured, " Their variance along their own axes, which are not the scene’s:"), spectrum(shown), make("p", { class: "note" }, described(shown)), tests(shown.tests), ...elsewhere(others)];
  }

  function elsewhere(others) {
    if (!others.length) return [];
    const sources = new Map();   // by class
    for (const { name, shape: { class: found } } of others) sources.set(found, [...sources.get(found) ?? [], name]);
    const told = Array.from(sources, ([found, names]) => `${found ?? "no shape"} on ${names.join(", ")}`);
    return [make("p", { class: "note" }, `Elsewhere: ${told.join("; ")}.`)];
  }

  function spectrum({ spectrum: shares }) {
    return bars("Share of variance along the own axes of the firings measured", shares.map((share, axis) => [`own axis ${axis + 1}`, share]));
  }

  function described({ points, effective_dimension, local_dimension, local_radius, loops, clusters }) {
    return [
      `effective dimension ${number(effective_dimension)}`,
      ...(local_dimension === null ? [] : [`local dimension ${number(local_dimension)} at ${radius(local_radius)}`]),
      loops === 0 ? "no loop stands out" : `${count(loops)} loop${loops === 1 ? "" : "s"}`,
      clusters === 1 ? "no separate clusters" : `${count(clusters)} clusters`,
      `n\u00a0${count(points)}\u00a0points`,
    ].join(" · ");
  }

  const radius = (value) => (value === 0.25 ? "¼ rms" : `${number(value)} rms`);

  function tests({ statistic, value, null_median, null_limit, p_adjusted }) {
    const rows = statistic.map((name, at) => make("tr", {},
      make("th", { scope: "row" }, STATISTICS[name] ?? name.replaceAll("_", " ")),
      ...[value, null_median, null_limit].map((column) => make("td", {}, number(column[at]))), make("td", {}, probability(p_adjusted[at]))));
    const heads = ["Statistic", "Here", "Median", "Limit", "Adjusted p"].map((name) => make("th", { scope: "col" }, name));
    return make("details", {}, make("summary", {}, `${count(rows.length)} test${rows.length === 1 ? "" : "s"} against clouds without structure`),
      make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)),
      make("p", { class: "note" }, `Median: of structureless clouds of this size and spread; 95\u202f% of them do not go beyond the limit.${statistic.includes("bend") ? BENT : ""}${statistic.some((name) => THIN.includes(name)) ? BOUNDARY : ""}`));
  }

  // The share of its importance that the mean keeps, then with each axis more.
  function needed({ said, shares }) {
    const named = shares.map((share, axes) => [axes === 0 ? "mean" : axes === 1 ? "and 1 axis" : `and ${axes} axes`, share]);
    return [make("p", {}, said), ...(shares.length ? [bars("Share of importance that is kept", named)] : [])];
  }

  function bars(name, rows) {
    return make("table", { class: "bars", "aria-label": name }, make("tbody", {}, ...rows.map(([title, share]) => {
      const filled = make("span", { class: "filled" });
      filled.style.inlineSize = `${Math.max(0, Math.min(1, share)) * 100}%`;
      return make("tr", {}, make("th", { scope: "row" }, title), make("td", { class: "bar" }, filled), make("td", {}, percent(share)));
    })));
  }

  atlas.geometry = { shape, needed };
})();
