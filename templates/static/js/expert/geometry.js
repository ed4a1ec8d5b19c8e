"use strict";
// What an expert's cloud looks like on one source; its importance, and how few axes keep it: sentences, thin bars, a folded table of tests.
(() => {
  const { make, count, number, percent, probability } = atlas.words;
  const { bar, row, table } = atlas.tables;
  const { term, within } = atlas.definitions;
  const STATISTICS = {
    loop: "Hole: closes at ÷ opens at",
    gap: "Widest gap ÷ rms",
    local_dimension: "Dimensions up close",
    thickness: "Off first axis ÷ along it",
    flatness: "Off two axes ÷ along second",
    bend: "Bend",
  };

  // What sentences say, by the term that defines it.
  const CLASSES = ["line or ray", "curve", "ring", "sheet", "clusters"];
  const SAID = { ...Object.fromEntries(CLASSES.map((name) => [name, name])), "Unclear": "unclear", "adjusted p": "p of a shape", "structureless clouds": "null" };
  const BY_CHANCE = { "structureless": "expected number of false ones" };
  const NEEDED = { "axes": "dimensions needed", "axis": "dimensions needed", "mean contribution": "dimensions needed", "importance": "importance" };

  const THIN = ["thickness", "flatness"];
  const BENT = " Bend: the share of variance off the first axis that follows from the place along it.";
  const BOUNDARY = ` Of “${STATISTICS.thickness}” and “${STATISTICS.flatness}” the median is the boundary, from which on a cloud is too thick for a line or a sheet.`;

  // shape: of the payload, or undefined where the source has none; others: [{ name, shape }] of the other sources.
  function shape(shown, source, others) {
    if (!shown) return [make("p", {}, `No shape on ${source}: it fires on fewer than half of its labels.`), ...elsewhere(others)];
    const sentences = shown.said.map((sentence, at) => make("p", at ? { class: "note" } : {}, ...within(sentence, at ? BY_CHANCE : SAID)));
    if (shown.class === null) return [...sentences, ...elsewhere(others)];
    return [...sentences, make("p", { class: "note" }, shown.measured, " Their ", term("spectrum", "variance along their own axes"), ", which are not the scene’s:"), spectrum(shown), make("p", { class: "note" }, ...described(shown)), tests(shown.tests), ...elsewhere(others)];
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
    const facts = [
      [term("effective dimension", "effective dimension"), ` ${number(effective_dimension)}`],
      ...(local_dimension === null ? [] : [[term("local dimension", "local dimension"), ` ${number(local_dimension)} at ${radius(local_radius)}`]]),
      [loops === 0 ? "no " : `${count(loops)} `, term("loop", loops === 0 ? "loop stands out" : `loop${loops === 1 ? "" : "s"}`)],
      [clusters === 1 ? "no separate " : `${count(clusters)} `, term("gap", "clusters")],
      [`n\u00a0${count(points)}\u00a0points`],
    ];
    return facts.flatMap((fact, at) => (at === 0 ? fact : [" · ", ...fact]));
  }

  const radius = (value) => (value === 0.25 ? "¼ rms" : `${number(value)} rms`);

  const TERMS = { local_dimension: "local dimension" };   // of statistics that are called otherwise

  function tests({ statistic, value, null_median, null_limit, p_adjusted }) {
    const named = (name) => (STATISTICS[name] ? term(TERMS[name] ?? name, STATISTICS[name]) : name.replaceAll("_", " "));
    const rows = statistic.map((name, at) => row(named(name), ...[value, null_median, null_limit].map((column) => number(column[at])), probability(p_adjusted[at])));
    const heads = ["Statistic", term("statistics", "Here"), term("median", "Median"), term("limit", "Limit"), term("p of a shape", "Adjusted p")];
    return make("details", {}, make("summary", {}, `${count(rows.length)} test${rows.length === 1 ? "" : "s"} against clouds without structure`),
      table(heads, rows),
      make("p", { class: "note" }, `Median: of structureless clouds of this size and spread; 95\u202f% of them do not go beyond the limit.${statistic.includes("bend") ? BENT : ""}${statistic.some((name) => THIN.includes(name)) ? BOUNDARY : ""}`));
  }

  // The share of its importance that the mean keeps, then with each axis more.
  function needed({ said, shares }) {
    const named = shares.map((share, axes) => [axes === 0 ? "mean" : axes === 1 ? "and 1 axis" : `and ${axes} axes`, share]);
    const kept = make("p", { class: "note" }, "The share of its importance that is ", term("importance kept", "kept"), ", by the fewest axes first:");
    return [make("p", {}, ...within(said, NEEDED)), ...(shares.length ? [kept, bars("Share of importance that is kept", named)] : [])];
  }

  // importances: columns task, importance and rows, of corpora and of labelled tasks on which it fires.
  function importance(record, importances) {
    const most = Math.max(...importances.importance.map(Math.abs));
    const rows = importances.task.map((task, at) => row(record.task(task).title, bar(importances.importance[at] / most), percent(importances.importance[at]), count(importances.rows[at])));
    return [
      table(["Measured on", "", term("importance", "Importance"), term("importance", "Rows")], rows),
      make("p", { class: "note" }, "The share of the rows’ variance that goes unexplained without it: of a corpus, of its held-out rows; ", term("importance on a task", "of a task"), ", of all its rows. Shares of different rows are not parts of one whole."),
    ];
  }

  function bars(name, rows) {
    return make("table", { class: "bars", "aria-label": name }, make("tbody", {}, ...rows.map(([title, share]) => row(title, bar(share), percent(share)))));
  }

  atlas.geometry = { shape, needed, importance };
})();
