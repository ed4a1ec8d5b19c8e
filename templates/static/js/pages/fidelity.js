"use strict";
// The view of fidelity and training: how close the dictionary comes, how often its experts fire, how it was trained.
(() => {
  const { make, aligned, count, number, percent, trouble } = atlas.words;
  const { load } = atlas.payloads;
  const { figure } = atlas.chart;
  const { term } = atlas.definitions;
  const MOST_RANKS = 512;   // of the rate curve, which only falls
  const DENSE = 0.1;

  class Page {
    #root; #manifest; #charts = []; #filled = null;

    constructor(root, manifest) {
      this.#root = root;
      this.#manifest = manifest;
      new ResizeObserver(() => this.#fit()).observe(root);
    }

    async show(state, { arrived }) {
      if (arrived) { scrollTo(0, 0); this.#part("heading").focus({ preventScroll: true }); }
      try { await (this.#filled ??= load("fidelity").then((data) => this.#fill(data))); } catch (error) {
        this.#filled = null;
        return trouble(this.#root, error.message);
      }
      trouble(this.#root, null);
      this.#fit();
    }

    #part(name) { return this.#root.querySelector(`[data-${name}]`); }

    #fit() { for (const chart of this.#charts) chart.fit(); }

    #fill({ corpus, tasks, cross_entropy: costs, rates, training }) {
      this.#section("corpus", corpus ? measured(corpus) : [make("p", {}, "Not measured. Run ", make("code", {}, "atlas evaluate"), ", then ", make("code", {}, "atlas assemble"), " and ", make("code", {}, "atlas bake"), " to have it here.")]);
      this.#section("tasks-measured", tasks.rows.length ? this.#tasks(tasks, corpus?.coordinates) : null);
      this.#section("cross-entropy", !corpus ? null : costs ? cost(costs, corpus.coordinates) : [make("p", { class: "note" }, "Not measured: the model has no head that predicts the next token, so no cross-entropy can be compared.")]);
      this.#section("rates", this.#rates(rates));
      this.#section("training", this.#training(training));
    }

    #section(name, nodes) {
      const place = this.#part(name);
      place.closest("section").hidden = !nodes;
      if (nodes) place.replaceChildren(...nodes);
    }

    #tasks({ rows, verdict }, coordinates) {
      const title = (number_) => this.#manifest.tasks.find(({ task }) => task === number_).title;
      return [
        table(["Task", "Tokens", "This dictionary", pca(coordinates)], rows.map((row) => line([title(row.task)], [count(row.tokens)], row))),
        ...said(verdict),
        make("p", { class: "note" }, term("fvu", "Unexplained share"), " on the labelled tokens: squared error over their variance about their own mean. Smaller is better; 1 is no better than that mean."),
      ];
    }

    // Experts from the most to the least frequent; those that are silent on held-out tokens come last, whatever they did elsewhere.
    #rates(evaluated) {
      const { rate, silent, dense } = this.#manifest.experts;
      const order = Array.from(rate.keys()).sort((one, other) => silent[one] - silent[other] || rate[other] - rate[one]);
      const shown = order.filter((row) => rate[row] > 0);
      const [n, nSilent, nDense] = [order.length, silent.filter(Boolean).length, dense.filter(Boolean).length];
      const summary = [make("p", {}, `Of ${count(n)} experts ${count(nDense)} ${be(nDense)} dense on the corpus (on more than ${percent(DENSE)} of tokens), ${count(nSilent)} ${be(nSilent)} silent (on no held-out token).`), ...(evaluated ? [make("p", { class: "note" }, evaluated)] : [])];
      if (!shown.length) return summary;
      const kept = shown.length <= MOST_RANKS ? shown.map((_, at) => at) : Array.from({ length: MOST_RANKS }, (_, at) => Math.round(at * (shown.length - 1) / (MOST_RANKS - 1)));
      const [x, y] = [kept.map((at) => at + 1), kept.map((at) => rate[shown[at]])];
      // The axis goes to the last expert, where there is no curve if it never fired.
      const bands = [
        ...(nDense ? [{ from: 1, to: nDense, name: `${count(nDense)} dense`, side: "start" }] : []),
        ...(nSilent ? [{ from: n - nSilent + 1, to: n, name: `${count(nSilent)} silent`, side: "end" }] : []),
      ];
      const chart = new atlas.chart.Curve({
        title: "Rate of each expert", x, y, log: true, last: n, height: 240, rule: nDense ? DENSE : null, bands,
        xName: "experts, the most frequent first", yName: "share of tokens", tickY: (share) => `${number(100 * share)}\u202f%`,
        tell: (at) => `${ordinal(x[at])}: expert ${this.#manifest.experts.expert[shown[kept[at]]]}, ${percent(y[at])}`,
        summary: `from ${percent(y[0])} of tokens to ${percent(y.at(-1))}; ${count(nDense)} dense, ${count(nSilent)} silent`,
      });
      this.#charts.push(chart);
      return [...summary, chart.element];
    }

    #training(curves) {
      if (!curves.length) return [make("p", {}, "This checkpoint holds no training log.")];
      const logged = Math.max(...curves.map((curve) => curve.logged));
      const drawn = Math.max(...curves.map((curve) => curve.step.length));
      const thinned = drawn < logged ? `${count(logged)} logged steps, of which at most ${count(drawn)} are drawn: the lowest and the highest of each stretch.` : `${count(logged)} logged ${logged === 1 ? "step" : "steps"}.`;
      const charts = curves.map(({ title, unit, step, value }) => new atlas.chart.Curve({
        title, x: step, y: value, log: atlas.chart.towers(value), height: 180, xName: "step", yName: unit,
        tell: (at) => `step ${count(step[at])}: ${figure(value[at])}`,
        summary: `from ${figure(value[0])} at step ${count(step[0])} to ${figure(value.at(-1))} at step ${count(step.at(-1))}`,
      }));
      this.#charts.push(...charts);
      const scaled = " Losses, norms and the threshold are on the scale of training; the checkpoint’s own threshold was set afterwards, on held-out rows.";
      return [make("p", { class: "note" }, thinned + scaled), make("div", { class: "charts" }, ...charts.map((chart) => chart.element))];
    }
  }

  const ordinal = (rank) => `${count(rank)}${[11, 12, 13].includes(rank % 100) ? "th" : ["th", "st", "nd", "rd"][rank % 10] ?? "th"}`;
  const pca = (coordinates) => (coordinates ? `PCA, ${count(coordinates)} ${coordinates === 1 ? "coordinate" : "coordinates"}` : "PCA");
  const be = (many) => (many === 1 ? "is" : "are");
  const said = (verdict) => (verdict ? [make("p", {}, verdict)] : []);

  function measured({ tokens, coordinates, rows, verdict }) {
    return [
      make("p", { class: "note" }, `On ${count(tokens)} held-out tokens of the corpus, beside principal components with equally many coordinates per token. The better of the two is set in bold.`),
      table(["Measure", "This dictionary", pca(coordinates)], rows.map((row) => line([term(row.metric, row.title), make("span", { class: "about-it" }, row.about)], [], row))),
      ...said(verdict),
    ];
  }

  function cost({ tokens, rows, verdict }, coordinates) {
    const title = ({ subject, title: of }) => (subject === "pca" ? of.replace("PCA", pca(coordinates)) : of);
    return [
      table(["The hook’s output", term("cross_entropy", "Nats per token"), term("cross_entropy_score", "Score")], rows.map((row) => make("tr", {}, make("th", { scope: "row" }, title(row)), cell(row.value), cell(row.score)))),
      ...said(verdict),
      make("p", { class: "note" }, `Cross-entropy of the next token, on ${count(tokens)} held-out tokens: smaller is better. Score: (zero − replaced) / (zero − kept); 1 is as good as kept, 0 as bad as zero.`),
    ];
  }

  const line = (name, facts, row) => make("tr", {}, make("th", { scope: "row" }, ...name), ...facts.map((fact) => make("td", {}, fact)),
    ...["dictionary", "pca"].map((subject) => cell(row[subject], row.ahead === subject)));

  // undefined: it does not apply; null: it was not measured.
  function cell(value, ahead = false) {
    if (value === undefined) return make("td", { class: "absent", "aria-label": "does not apply" }, "–");
    if (value === null) return make("td", { class: "absent" }, "not measured");
    return make("td", {}, ahead ? make("b", {}, aligned(value)) : aligned(value));
  }

  const table = (names, rows) => make("table", {},
    make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...rows));

  atlas.fidelity = { Page };
})();
