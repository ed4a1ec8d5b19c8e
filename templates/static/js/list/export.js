"use strict";
// The list as a file, as it is filtered and sorted: one record for each expert, with the numbers as they are stored.
(() => {
  const { known } = atlas.facts;
  const DIGITS = 7;   // what single precision holds
  const SLICE = 30;   // ms of work, after which others have their turn
  const BREAK = "\r\n";
  const FORMULA = /(^|;)(?=['"\s]*[=+\-@\uff1d\uff0b\uff0d\uff20])/g;   // what is behind it would be computed by a spreadsheet
  const stored = (value) => (known(value) ? Number(value.toPrecision(DIGITS)) : null);
  const plain = (name) => (facts, row) => facts.of(name, row) ?? null;
  const measured = (name) => (facts, row) => stored(facts.of(name, row));
  const read = (part) => (facts, row, best) => (best ? part(best, facts) : null);

  // What a record holds: field ► value(facts, row, the best score or null); a number, a text, a list of texts, or null.
  const FIELDS = {
    expert: plain("expert"),
    title: (facts, row) => facts.title(row),
    basis: plain("basis"),
    title_task: (facts, row) => facts.claimed(row)?.name ?? null,
    measure: plain("measure"),
    value: measured("value"),
    score_task: read(({ task }, facts) => facts.task(task).name),
    score_hypothesis: read((best, facts) => facts.read(best).hypothesis.title),
    score: read(({ value }) => stored(value)),
    score_low: read(({ low }) => stored(low)),
    score_high: read(({ high }) => stored(high)),
    labels_covered: read(({ covered }) => stored(covered)),
    labels: read(({ labels }) => labels),
    activity: (facts, row) => facts.activity(row),
    firings: measured("firings"),
    rate: measured("rate"),
    importance: measured("importance"),
    mean_norm: measured("mean_norm"),
    effective_dimension: measured("effective_dimension"),
    dimensions_needed: measured("dimensions_needed"),
    shape: (facts, row) => facts.shape(row),
    cluster: (facts, row) => facts.cluster(row),
    orders: (facts, row) => facts.orders(row).map(({ name }) => name),
    bookmarked: (facts, row) => atlas.marks.has(facts.expert(row)),
  };
  const NAMES = Object.keys(FIELDS);
  const KEYS = NAMES.map((name) => `"${name}": `);

  // A field as RFC 4180 has it.
  function cell(value) {
    if (value === null) return "";
    if (typeof value !== "string" && !Array.isArray(value)) return String(value);
    const text = Array.isArray(value) ? value.join("; ") : value;
    const safe = text.replace(FORMULA, "$1'");
    return /[",\r\n]|^\s|\s$/.test(safe) ? `"${safe.replaceAll("\"", "\"\"")}"` : safe;
  }

  const line = (values) => values.map(cell).join(",") + BREAK;

  // Gives a file to the reader.
  function give(blob, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);   // when the browser has taken it
  }

  const pause = () => new Promise((resolve) => { setTimeout(resolve); });

  class Exporter {
    #manifest; #facts;

    constructor(manifest, facts) { [this.#manifest, this.#facts] = [manifest, facts]; }

    // Gives the list to the reader as experts.csv or experts.json.
    async save(kind, found) {
      give(await (kind === "csv" ? this.#csv(found) : this.#json(found)), `experts.${kind}`);
    }

    // No byte order mark: the file is UTF-8.
    async #csv(found) {
      return new Blob([line(NAMES), ...await this.#each(found, line)], { type: "text/csv;charset=utf-8" });
    }

    async #json(found) {
      const field = (value, at) => `${KEYS[at]}${typeof value === "number" ? value : JSON.stringify(value)}`;
      const entry = (values, isFirst) => `${isFirst ? "" : ","}\n    {${values.map(field).join(", ")}}`;
      const { id } = this.#manifest;
      const head = JSON.stringify({ atlas: id, title: document.querySelector("h1").textContent, address: atlas.route.link({}) }, null, 2).slice(0, -2);
      return new Blob([`${head},\n  "experts": [`, ...await this.#each(found, entry), "\n  ]\n}\n"], { type: "application/json" });
    }

    // What is told of all rows, in blobs of as many as are made at a stretch; others have their turn between them.
    async #each({ rows, best }, told) {
      const values = Object.values(FIELDS);
      const blobs = [];
      let [texts, started] = [[], performance.now()];
      for (let at = 0; at < rows.length; at += 1) {
        const score = best(rows[at]);
        texts.push(told(values.map((value) => value(this.#facts, rows[at], score)), at === 0));
        if (at % 64 !== 63 || performance.now() - started < SLICE) continue;
        blobs.push(new Blob(texts));
        await pause();
        [texts, started] = [[], performance.now()];
      }
      return [...blobs, ...texts];
    }
  }

  atlas.exporting = { Exporter, line, stored, give };
})();
