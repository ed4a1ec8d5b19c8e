"use strict";
// An expert's page: what can be said, on what evidence, and its cloud.
(() => {
  const { make, draw, count, number, aligned, score, interval, percent, percents, token, trouble } = atlas.words;
  const { rowsOf, hypothesis } = atlas.records;
  const { split, line } = atlas.contexts;
  const CONTEXT_TOKENS = 12;
  const FEW = 2;         // tasks that are named though the expert hardly fires on them
  const AT_FIRST = 10;   // of the strongest contexts; the others are folded
  const STRATA = { top: "Strongest", q75: "Highest quarter by norm", q50: "Second quarter", q25: "Third quarter", q0: "Lowest quarter" };

  class Page {
    #root; #manifest; #stage; #neighbours; #shown = 0; #record = null; #expert = null; #corpus = null;

    constructor(root, manifest) {
      this.#root = root;
      this.#manifest = manifest;
      this.#stage = new atlas.stage.Stage(this.#part("stage"), manifest, (task) => this.#shape(task));
      this.#neighbours = new atlas.neighbours.Neighbours(this.#part("neighbours"), manifest);
      this.#part("evidence").addEventListener("change", (event) => atlas.route.adjust({ corpus: event.target.value }));
    }

    async show(state, { arrived, rows }) {
      const row = this.#manifest.experts.expert.indexOf(state.expert);
      if (arrived) { scrollTo(0, 0); this.#part("heading").focus({ preventScroll: true }); }
      this.#steps(row, rows);
      const turn = ++this.#shown;
      try {
        if (row !== this.#expert || row < 0) {
          [this.#expert, this.#record] = [row, null];
          this.#head(row, state);
          if (row < 0) return;
        }
        if (!this.#record) {
          const record = await atlas.records.open(this.#manifest, row);
          if (turn !== this.#shown) return;
          this.#record = record;
          this.#fill(state);
        }
        if (state.corpus !== this.#corpus) this.#evidence(state);
        await this.#stage.show(this.#record, state);
      } catch (error) { if (turn === this.#shown) trouble(this.#root, error.message); }
    }

    #part(name) { return this.#root.querySelector(`[data-${name}]`); }

    #head(row, { expert }) {
      const columns = this.#manifest.experts;
      trouble(this.#root, row < 0 ? "This atlas has no expert of that number. Choose one from the list of all experts." : null);
      this.#part("body").hidden = row < 0;
      this.#part("neighbours").closest("section").hidden = true;   // of another expert
      const rests = row < 0 || columns.silent[row] ? "" : ` (${columns.measure[row]} ${number(columns.value[row])})`;
      this.#part("heading").replaceChildren(`Expert ${expert}`, ...(row < 0 ? [] : [" · ", ...token(columns.title[row]), rests]));
    }

    // The way on: through the experts that the list shows, in its order.
    #steps(row, rows) {
      const place = rows.indexOf(row);
      for (const link of this.#root.querySelectorAll("[data-step]")) {
        const to = place < 0 ? undefined : this.#manifest.experts.expert[rows[place + Number(link.dataset.step)]];
        link.style.visibility = to === undefined ? "hidden" : "visible";
        if (to === undefined) continue;
        link.href = atlas.route.link({ expert: to });
        link.querySelector("[data-step-number]").textContent = to;
        link.setAttribute("aria-label", `${link.dataset.step < 0 ? "Previous" : "Next"}: expert ${to}`);
      }
    }

    #fill(state) {
      const { data } = this.#record;
      this.#part("sayings").replaceChildren(...data.sayings.map((sentence) => make("p", {}, sentence)));
      this.#section("scores", data.scores.task.length || data.newline.task.length, () => [...this.#scores(), ...this.#lines()]);
      this.#part("corpora").hidden = data.corpora.length < 2;
      this.#part("evidence").replaceChildren(...data.corpora.map(({ task }) => make("option", { value: this.#record.task(task).name }, this.#record.task(task).title)));
      this.#evidence(state);
      this.#section("labels", data.labels.task.length, () => this.#labels());
      this.#part("neighbours").closest("section").hidden = false;
      this.#neighbours.show(data.neighbours);
    }

    // What its firings on one corpus show: the one that is asked for, else the first on which it fires.
    #evidence(state) {
      const { corpora } = this.#record.data;
      this.#corpus = state.corpus;
      const shown = corpora.find(({ task }) => this.#record.task(task).name === state.corpus) ?? corpora[0];
      if (shown) this.#part("evidence").value = this.#record.task(shown.task).name;
      this.#section("contexts", shown?.contexts.length, () => this.#contexts(shown));
      this.#section("tokens", shown?.tokens.text.length, () => this.#tokens(shown));
      this.#section("norms", shown?.norms.count.length, () => [this.#norms(shown)]);
      this.#section("needed", shown, () => atlas.geometry.needed(shown.kept));
    }

    #section(name, filled, nodes) {
      this.#root.querySelector(`[data-section="${name}"]`).hidden = !filled;
      if (filled) this.#part(name).replaceChildren(...nodes());
    }

    // The shape of what the scene shows; a labelled task that it hardly fires on has none.
    #shape(number_) {
      const { shapes } = this.#record.data;
      const others = shapes.filter(({ task }) => task !== number_).map((shape) => ({ name: this.#record.source(shape.task), shape }));
      this.#section("shape", shapes.length, () => atlas.geometry.shape(shapes.find(({ task }) => task === number_), this.#record.source(number_), others));
    }

    // --- the evidence ---

    // What is supported or read jointly stands first, then what else was tested, folded; classes stand behind, by a measure of
    // their own.
    #scores() {
      const rows = this.#record.scores().sort((one, other) => other.order_supported - one.order_supported || Boolean(other.group) - Boolean(one.group) || other.all_rows - one.all_rows);
      const rest = rows.filter((row) => !row.testable && hypothesis(row).of_label);
      const byRow = rows.filter((row) => !hypothesis(row).of_label);
      const tested = rows.filter((row) => row.testable && !byRow.includes(row));
      const [orders, classes] = [tested.filter((row) => !isClasses(row)), tested.filter(isClasses)];
      const named = orders.filter((row) => row.order_supported || row.group);
      const first = named.length || !orders.length ? named : orders.slice(0, 1);
      const others = orders.slice(first.length);
      const home = classes.filter((row) => row.task.task === this.#record.field("title_task"));
      const away = classes.filter((row) => !home.includes(row));
      return [
        ...first.map((row) => this.#score(row)),
        ...folded(`${others.length} more tested, ${called(others)} not supported`, others.map((row) => this.#score(row))),
        ...folded(`${byRow.length} more whose target goes row by row`, byRow.map((row) => this.#score(row))),
        ...home.map((row) => this.#score(row)),
        ...folded(`${away.length} more by classes`, away.map((row) => this.#score(row))),
        ...(rest.length ? [make("p", { class: "note" }, untested(rest))] : []),
      ];
    }

    #score(row) {
      const { title, measure, references } = hypothesis(row);
      const result = { of: `${row.task.title}, ${title}`, measure, value: row.all_rows, low: row.all_rows_low, high: row.all_rows_high };
      const said = verdict(row);
      return make("div", { class: "score" },
        make("p", { class: "score-head" }, make("span", {}, make("b", {}, row.task.title), ` · ${title}`),
          make("span", { class: row.order_supported ? "supported" : "unsupported" }, said),
          make("span", { class: "figure" }, `${measure} ${interval(row.all_rows, row.all_rows_low, row.all_rows_high)}`)),
        atlas.strip(result, references, { width: Math.min(560, this.#part("findings").clientWidth), long: true }),
        make("p", { class: "note" }, facts(row).join(" · ")),
        ...(row.mention_rows === null ? [] : [make("p", { class: "note" }, mentioned(row))]),
        ...(row.group ? [this.#together(row)] : []));
    }

    #together({ group, ...row }) {
      const others = group.experts.filter((expert) => expert !== atlas.route.state.expert);
      const links = others.flatMap((expert, at) => [at === 0 ? "" : at === others.length - 1 ? " and " : ", ", make("a", { href: atlas.route.link({ expert }) }, String(expert))]);
      const { measure } = hypothesis(row);
      return make("p", { class: "note together" }, `Read together with expert${others.length > 1 ? "s" : ""} `, ...links, `: ${measure} ${interval(group.all_rows, group.all_rows_low, group.all_rows_high)}; best alone ${score(group.alone)}.`);
    }

    // How it goes with the place in a line, of tasks about that.
    #lines() {
      return rowsOf(this.#record.data.newline).map((row) => make("p", { class: "note" }, make("b", {}, this.#record.task(row.task).title),
        `: periodic gain ${measured(row.periodic_gain)} in-sample, ${measured(row.held_out_gain)} held out; the place is read from its code with R² ${score(row.decode_r2)}, held out ${score(row.held_out_decode_r2)}. It fires on ${percent(row.rate)} of these tokens.`));
    }

    #contexts({ contexts, sampled }) {
      const most = Math.max(...contexts.flatMap(({ norm }) => norm));
      const nodes = contexts.map(({ stratum, norm, tokens }) => {
        const rows = norm.map((one, at) => this.#context(one, tokens[at], one / most));
        const some = stratum === "top" ? rows.slice(0, AT_FIRST) : rows;
        const rest = rows.slice(some.length);
        return make("div", { role: "group", "aria-label": STRATA[stratum] }, make("h4", {}, STRATA[stratum]), make("ol", {}, ...some),
          ...(rest.length ? [make("details", {}, make("summary", {}, `${rest.length} more`), make("ol", { start: some.length + 1 }, ...rest))] : []));
      });
      const banded = contexts.findIndex(({ stratum }) => stratum !== "top");
      if (banded >= 0) nodes.splice(banded, 0, make("p", { class: "note" }, `Up to five from each quarter, by norm, of ${sampled}:`));
      return nodes;
    }

    #context(norm, tokens, level) {
      const context = split(tokens.map((index) => this.#record.texts[index]), CONTEXT_TOKENS);
      return make("li", {}, make("span", { class: "norm" }, aligned(norm)), line(context, level));
    }

    #tokens({ tokens }) {
      const most = Math.max(...tokens.share);
      const rows = tokens.text.map((index, at) => make("tr", {},
        make("th", { scope: "row", class: "token" }, ...token(this.#record.texts[index])),
        make("td", { class: "bar" }, bar(tokens.share[at] / most)),
        make("td", {}, percents(tokens.share[at], tokens.share_low[at], tokens.share_high[at])),
        make("td", {}, count(tokens.count[at])),
        make("td", {}, `${number(tokens.lift[at])}×`)));
      return [table(["Token", "", "Share", "Firings", "Lift"], rows), make("p", { class: "note" }, `Counted on ${tokens.sampled}; in brackets the share’s 95\u202f% interval.`)];
    }

    #labels() {
      const { labels, task_stats } = this.#record.data;
      const tasks = [...new Set(labels.task)];
      const [open, closed] = [[], []];
      for (const number_ of tasks) {
        const task = this.#record.task(number_);
        const at = labels.task.flatMap((one, index) => (one === number_ ? [index] : []));
        const covered = at.filter((index) => labels.fires[index] >= 0.5).length;
        const stats = rowsOf(task_stats).find((row) => row.task === number_);
        const rows = at.map((index) => this.#label(task, labels, index, stats?.preference_band));
        const details = make("details", {}, make("summary", {}, `${task.title}: fires on at least half the rows of ${covered} of ${task.labels.name.length} labels`),
          make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${task.title}, label by label` }, table(["Label", "", "Fires", "Rows", "Lift", "Preference"], rows)),
          make("p", { class: "note" }, onTask(stats)));
        details.open = number_ === this.#record.field("title_task") || task.name === atlas.stage.asked(atlas.route.state);
        (covered || details.open ? open : closed).push(details);
      }
      // Of most tasks an expert fires on a few stray rows: they are one line together.
      const more = closed.length === 1 ? "1 more task" : `${closed.length} more tasks`;
      return [...open, ...(closed.length > FEW ? folded(`${more} of which it fires on no label in half of its rows`, closed) : closed)];
    }

    #label(task, labels, at, band) {
      const label = labels.label[at];
      const swatch = make("span", { class: "swatch" });
      swatch.style.setProperty("--light", task.labels.colours.light[label]);
      swatch.style.setProperty("--dark", task.labels.colours.dark[label]);
      return make("tr", {},
        make("th", { scope: "row" }, swatch, task.labels.name[label]),
        make("td", { class: "bar" }, bar(labels.fires[at])),
        make("td", {}, percent(labels.fires[at])),
        make("td", {}, `${count(labels.fired[at])} of ${count(task.labels.rows[label])}`),
        make("td", {}, `${number(labels.lift[at])}×`),
        preferred(labels.preference[at], band));
    }

    #norms({ task, stats, norms: { bin, lower, count: counts } }) {
      const fired = `${count(stats.firings)} firings, on ${percent(stats.rate)} of the tokens, in ${count(stats.documents)} of ${count(this.#record.task(task).documents)} documents.`;
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
  }

  const isClasses = (row) => hypothesis(row).shape === "classes";
  // Places in a space of several numbers have an arrangement, no order.
  const laid = (shape) => (shape === "map" ? "arrangement" : "order");
  const called = (rows) => [...new Set(rows.map((row) => laid(hypothesis(row).shape)))].sort().reverse().join(" or ");
  const named = (task) => (task.has_text ? "sentences" : "rows");

  // What the test asks for, and by task what did not have it.
  function untested(rows) {
    const tasks = [...new Set(rows.map((row) => row.task))].map((task) => {
      const here = rows.filter((row) => row.task === task);
      return `${task.title} (${here.map((row) => hypothesis(row).title).join(", ")}): fires on ${count(here[0].active_rows)} ${named(task)}`;
    });
    return `Not tested, because it fires on too few rows, or on fewer than three labels in five rows or more. ${tasks.join("; ")}.`;
  }

  // How a score stands against shuffled labels. Classes have no order: they are only read better or no better than shuffled ones.
  function verdict(row) {
    const { shape, of_label } = hypothesis(row);
    if (!of_label) return "no order of labels to test";
    if (shape === "classes") return row.p_order_adjusted <= 0.05 ? "better than shuffled classes" : "no better than shuffled classes";
    return `${laid(shape)} ${row.order_supported ? "" : "not "}supported${isHalved(row) ? ": no more than two halves" : ""}`;
  }

  // Whether labels shuffled within the two halves that it tells apart score as well.
  const isHalved = (row) => row.p_within_halves > 0.05;

  function facts(row) {
    const { measure, shape, of_label, testable, references } = hypothesis(row);
    return [
      `n ${count(row.task.report_rows)} ${named(row.task)}, fires in ${count(row.n_where_it_fires)}`,
      `covers ${row.covered} of ${row.task.labels.name.length} labels`,
      ...(row.left_out_label === null ? [] : [`left-out labels ${shape === "classes" ? "" : `${measure} `}${score(row.left_out_label)}${worst(row)}`]),
      ...(of_label ? [`adjusted p ${number(row.p_order_adjusted)} over ${count(testable)} experts`] : ["its target goes row by row, not by label"]),
      ...(row.p_within_halves === null ? [] : [`labels shuffled within two halves p ${number(row.p_within_halves)}`]),
      ...(shape === "classes" && references.chance !== undefined ? ["chance is simulated: clusters at random places"] : []),
    ];
  }

  // Of several targets some direction may be read worse than all of them together.
  const worst = ({ left_out_label: all, left_out_direction: least }) => (least === null || score(least) === score(all) ? "" : ` (worst direction ${score(least)})`);

  function mentioned(row) {
    const { measure } = hypothesis(row);
    const reached = `${measure} ${interval(row.mention_rows, row.mention_low, row.mention_high)}`;
    return `On running text: ${reached} on ${count(row.mention_words)} words spelled as a label, in ${count(row.mention_documents)} held-out documents (fires on ${count(row.mention_active)}), by a fit to ${count(row.mention_others)} others.`;
  }

  // AUROC of the norm for a label; an arrow where it is outside the band that shuffled labels reach.
  function preferred(value, band) {
    const away = band === undefined || Math.abs(value - 0.5) <= band ? "" : value > 0.5 ? "↑" : "↓";
    const meaning = { "↑": "above the band", "↓": "below the band" }[away];
    return make("td", meaning ? { title: meaning } : {}, score(value), make("span", { class: "arrow", ...(meaning ? { role: "img", "aria-label": meaning } : {}) }, away));
  }

  function onTask(stats) {
    const what = "Preference: how often its norm on the label is above that on another row (½: no preference; a ring has none)";
    if (!stats) return `${what}. It fires on too few rows for a test.`;
    const { preference_band: band, p_label: p } = stats;
    return `${what}; an arrow where outside ${score(0.5 - band)}–${score(0.5 + band)}, which shuffled labels keep to. ${p <= 0.05 ? `Its codes depend on the label (p ${number(p)}; nearly every expert’s do).` : `No sign that its codes depend on the label (p ${number(p)}).`}`;
  }

  const measured = (value) => number(Number(value.toFixed(4)));

  const folded = (title, nodes) => (nodes.length ? [make("details", {}, make("summary", {}, title), ...nodes)] : []);

  function bar(share) {
    const filled = make("span", { class: "filled" });
    filled.style.inlineSize = `${Math.min(1, share) * 100}%`;
    return filled;
  }

  const table = (names, rows) => make("table", {},
    make("thead", {}, make("tr", {}, ...names.map((name) => (name ? make("th", { scope: "col" }, name) : make("td"))))),
    make("tbody", {}, ...rows));

  atlas.expert = { Page };
})();
