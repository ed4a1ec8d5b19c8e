"use strict";
// The orders that experts can stand in.
(() => {
  const ROOM = 2 ** 20;   // experts that a sorting key has room for

  const TITLES = {
    match: "match", lift: "lift", importance: "importance", score: "score", coverage: "coverage", rate: "firing rate", mean_norm: "mean norm",
    effective_dimension: "effective dimension", dimensions_needed: "dimensions needed", shape: "shape", cluster: "cluster", title: "title", number: "expert number",
  };
  const SORTS = Object.fromEntries(Object.entries(TITLES).map(([name, title]) => [name, { title }]));
  const STORED = ["coverage", "rate", "mean_norm", "effective_dimension", "dimensions_needed", "score", "shape", "cluster", "title", "number"];   // payloads orders/…
  const NEEDS = { match: (state) => atlas.search.words(state.q).length > 0, lift: (state) => state.label.length > 0 };
  // The sorts that mean something for a query; the first of them is its own.
  const sorts = (state) => ["lift", ...Object.keys(TITLES).filter((name) => name !== "lift")].filter((name) => NEEDS[name]?.(state) ?? true);

  function sorted(state) {
    const possible = sorts(state);
    const turned = state.sort?.startsWith("-") ?? false;
    const name = turned ? state.sort.slice(1) : state.sort;
    return possible.includes(name) ? { name, turned } : { name: possible[0], turned: false };
  }

  // Rows by a key (whole numbers below 2³²), the largest first, equal ones as they come: numbers that hold both sort without a comparison of ours.
  function descending(rows, key) {
    const packed = new Float64Array(rows.length);
    for (let at = 0; at < packed.length; at += 1) packed[at] = ROOM - 1 - rows[at] + key[rows[at]] * ROOM;
    packed.sort();
    const ordered = new Uint32Array(rows.length);
    for (let at = 0; at < packed.length; at += 1) ordered[at] = ROOM - 1 - (packed[packed.length - 1 - at] % ROOM);
    return ordered;
  }

  // Numbers of 0 and more as whole numbers from 1 in the same order; 0 for what is less, or not known.
  function bits(values) {
    const positive = new Float32Array(values.length);
    for (let at = 0; at < values.length; at += 1) if (values[at] > 0) positive[at] = values[at];
    const whole = new Uint32Array(positive.buffer);
    for (let at = 0; at < whole.length; at += 1) whole[at] = values[at] >= 0 ? whole[at] + 1 : 0;
    return whole;
  }

  // The rows that pass, as they come.
  function every(passing) {
    const rows = new Uint32Array(passing.length);
    let length = 0;
    for (let row = 0; row < passing.length; row += 1) if (passing[row]) rows[length++] = row;
    return rows.slice(0, length);
  }

  // The rows that pass, in an order that the bake made.
  function kept(ordered, passing, length) {
    const rows = new Uint32Array(length);
    for (let place = 0, at = 0; place < ordered.length; place += 1) if (passing[ordered[place]]) rows[at++] = ordered[place];
    return rows;
  }

  // How many of the ordered rows have what they are ordered by; the others stand last either way round.
  function known(ordered, key, order, passing) {
    if (key) { const end = ordered.findIndex((row) => key[row] === 0); return end < 0 ? ordered.length : end; }
    let have = ordered.length;
    if (order) for (let place = order.known; place < order.rows.length; place += 1) have -= passing[order.rows[place]];
    return have;
  }

  atlas.sorting = { SORTS, STORED, sorts, sorted, descending, bits, every, kept, known };
})();
