"use strict";
// Which experts a query leaves, in which order, and why. Knows the manifest and the payloads, never the page.
(() => {
  const { load, array } = atlas.payloads;
  const { count, number, percent } = atlas.words;
  const SHARE_STEPS = 65535;
  const EXACT = 1e-9;   // a share that is written in the address as it is printed still passes itself

  const descending = (value) => (a, b) => (value(b) ?? -Infinity) - (value(a) ?? -Infinity);
  const SORTS = {
    match: { title: "match", by: (columns, found) => descending((row) => found.matches?.get(row).rank), needs: "q" },
    lift: { title: "lift", by: (columns, found) => descending((row) => found.lifts.get(row)?.lift), needs: "label" },
    importance: { title: "importance", by: ({ importance }) => descending((row) => importance[row]) },
    rate: { title: "firing rate", by: ({ rate }) => descending((row) => rate[row]) },
    score: { title: "best score", by: (columns, found) => descending((row) => found.best(row)?.value) },
    norm: { title: "mean norm", by: ({ mean_norm }) => descending((row) => mean_norm[row]) },
    number: { title: "expert number", by: ({ expert }) => (a, b) => expert[a] - expert[b] },
  };
  const asked = (state, needs) => !needs || state[needs].length > 0;
  // The sorts that mean something for a query; the first of them is its own.
  const sorts = (state) => ["lift", "match", "importance", "rate", "score", "norm", "number"].filter((name) => asked(state, SORTS[name].needs));
  const sorted = (state) => (sorts(state).includes(state.sort) ? state.sort : sorts(state)[0]);

  // As atlas/bake/search.py folds the texts of tokens.
  const folded = (text) => text.normalize("NFKC").toUpperCase().toLowerCase().replaceAll("ς", "σ").trim();
  const words = (query) => folded(query).split(/\s+/).filter(Boolean).map((word) => (word.length > 2 && word.startsWith("##") ? word.slice(2) : word));

  class Finder {
    #manifest; #classes; #index = null; #labels = new Map(); #scores = new Map(); #titles; #order;

    // classes: of shapes, or null.
    constructor(manifest, classes) {
      this.#manifest = manifest;
      this.#classes = classes;
      this.#order = manifest.tasks.some(({ hypotheses }) => hypotheses.some(({ shape }) => shape === "map")) ? "order or arrangement" : "order";
      this.#titles = manifest.experts.title.map(folded);
    }

    get all() { return this.#manifest.experts.expert.length; }

    // Loads what the query looks up: nothing of it is needed to show the list.
    async ready(state) {
      const tasks = new Set(state.label.map((name) => this.label(name)?.task).filter(Boolean));
      for (const { task } of this.suggested(state.q)) tasks.add(task);
      const claimed = this.#task(state.task);
      await Promise.all([
        words(state.q).length ? this.#loadIndex() : null, claimed ? this.#loadScores(claimed) : null,
        ...[...tasks].map((task) => this.loadLabels(task)),
      ]);
    }

    // A labelled task of this name.
    #task(name) { return this.#manifest.tasks.find((task) => task.name === name && task.labels.name.length); }

    async #loadIndex() {
      const { texts, starts, rows, share } = await load("search/index");
      this.#index ??= { texts, starts: array(starts), rows: array(rows), share: array(share) };
    }

    async #loadScores(task) {
      const { rows, hypothesis, all_rows: value, all_rows_low: low, all_rows_high: high } = await load(`scores/${task.task}`);
      if (this.#scores.has(task)) return;
      const best = (row, at) => [row, { task: task.task, hypothesis: hypothesis[at], value: value[at], low: low[at], high: high[at] }];
      this.#scores.set(task, new Map(Array.from(array(rows), best)));
    }

    // What can best be read from an expert's code, of the task that is asked for; null where nothing can.
    #best(row, task) {
      if (task) return this.#scores.get(task).get(row) ?? null;
      const { best_task: of, best_hypothesis: hypothesis, best_all_rows: value, best_all_rows_low: low, best_all_rows_high: high } = this.#manifest.experts;
      return value[row] === null ? null : { task: of[row], hypothesis: hypothesis[row], value: value[row], low: low[row], high: high[row] };
    }

    async loadLabels(task) {
      const { starts, rows, fired, lift } = await load(`labels/${task.task}`);
      if (!this.#labels.has(task)) this.#labels.set(task, { starts: array(starts), rows: array(rows), fired: array(fired), lift: array(lift) });
    }

    // "months:September" ► its task and number; undefined where this atlas has no such label.
    label(name) {
      const cut = name.indexOf(":");
      const task = this.#manifest.tasks.find((one) => one.name === name.slice(0, cut));
      const at = task ? task.labels.name.indexOf(name.slice(cut + 1)) : -1;
      return at < 0 ? undefined : { task, at, title: task.labels.name[at] };
    }

    // The experts that fire on at least this share of a label's rows, by row; the label's task must be loaded.
    firing({ task, at }, least) {
      const { starts, rows, fired, lift } = this.#labels.get(task);
      const passing = new Map();
      for (let place = starts[at]; place < starts[at + 1]; place += 1) {
        const fires = fired[place] / task.labels.rows[at];
        if (fires >= least - EXACT) passing.set(rows[place], { fires, lift: lift[place] });
      }
      return passing;
    }

    knows(task) { return this.#labels.has(task); }

    // Labels whose name a query begins or is.
    suggested(query) {
      const wanted = folded(query);
      if (!wanted) return [];
      return this.#manifest.tasks.flatMap((task) => task.labels.name.flatMap((title, at) => {
        const name = folded(title);
        return name === wanted || (wanted.length > 2 && name.startsWith(wanted)) ? [{ task, at, title, name: `${task.name}:${title}` }] : [];
      })).slice(0, 4);
    }

    // ► rows in order; the filters; if there is no row, the filters without which there would be, and how many; a row's best score;
    // and what a row was found by: { title, fires, lift } of a label, the { rank } of a match with its { token, share }, or { shapes }.
    find(state) {
      const task = this.#task(state.task);
      const found = { matches: this.#matches(state.q), lifts: new Map(), shaped: new Map(), best: (row) => this.#best(row, task) };
      const filters = [...this.#texts(state, found), ...this.#claims(state), ...this.#firing(state, found), ...this.#shaped(state, found), ...this.#numbers(state, found)];
      const columns = this.#manifest.experts;
      const every = columns.expert.map((_, row) => row);
      const compare = SORTS[sorted(state)].by(columns, found);
      const rows = every.filter((row) => filters.every(({ test }) => test(row))).sort((a, b) => compare(a, b) || a - b);
      const relaxed = rows.length ? [] : filters
        .map((filter) => ({ ...filter, left: every.filter((row) => filters.every((other) => other === filter || other.test(row))).length }))
        .filter(({ left }) => left).sort((one, other) => other.left - one.left);
      return { rows, filters, relaxed, best: found.best, reason: (row) => found.lifts.get(row) ?? found.matches?.get(row) ?? found.shaped.get(row) ?? null };
    }

    #texts({ q }, { matches }) {
      if (!matches) return [];
      return [{ text: `“${q.trim()}”`, test: (row) => matches.has(row), without: { q: "" } }];
    }

    // Row ► how well it matches all words, and the token that does; null without a word.
    #matches(query) {
      const wanted = words(query);
      if (!wanted.length) return null;
      const [first, ...rest] = wanted.map((word) => this.#word(word));
      const matches = new Map();
      for (const [row, match] of first) {
        const others = rest.map((found) => found.get(row));
        if (others.every(Boolean)) matches.set(row, others.reduce((one, other) => ({ ...one, rank: one.rank + other.rank }), match));
      }
      return matches;
    }

    // An expert's number before a whole token, that before a token's beginning, that before a word of a title.
    #word(word) {
      const best = new Map();
      const offer = (row, match) => { if (!(best.get(row)?.rank >= match.rank)) best.set(row, match); };
      const { texts, starts, rows, share } = this.#index;
      for (let at = lower(texts, word); at < texts.length && texts[at].startsWith(word); at += 1) {
        const whole = texts[at] === word;
        for (let place = starts[at]; place < starts[at + 1]; place += 1) {
          const part = share[place] / SHARE_STEPS;
          offer(rows[place], { rank: (whole ? 2 : 1) + part, token: texts[at], share: part });
        }
      }
      const plain = /^[\p{L}\p{N}]+$/u.test(word);
      this.#titles.forEach((title, row) => {
        const met = plain ? title.split(/[^\p{L}\p{N}]+/u).some((part) => part.startsWith(word)) : title.includes(word);
        if (met) offer(row, { rank: 0.5 });
      });
      const numbered = /^\d+$/.test(word) ? this.#manifest.experts.expert.indexOf(Number(word)) : -1;
      if (numbered >= 0) offer(numbered, { rank: 4 });
      return best;
    }

    #claims({ task: name, order }) {
      const { title_task: titled, orders } = this.#manifest.experts;
      const task = this.#task(name);
      const filters = [];
      if (name) {
        const test = task ? (row) => titled[row] === task.task || orders[row].includes(task.task) : () => false;
        filters.push({ text: task ? `claim about ${task.title}` : `claim about “${name}”, which is no labelled task of this atlas`, test, without: { task: null } });
      }
      if (order) {
        const test = (row) => (task ? orders[row].includes(task.task) : orders[row].length > 0);
        filters.push({ text: `${this.#order} supported`, test, without: { order: false } });
      }
      return filters;
    }

    #firing({ label: names, mode, fires: least }, found) {
      if (!names.length) return [];
      const chosen = names.map((name) => {
        const label = this.label(name);
        const text = label ? `fires on ${label.title}` : `fires on “${name}”, which is no label of this atlas`;
        return { name, text: `${text}${least === atlas.route.DEFAULTS.fires ? "" : ` ≥ ${percent(least)}`}`, title: label?.title, firing: label ? this.firing(label, least) : new Map() };
      });
      const more = mode === "all" ? (one, other) => one.lift < other.lift : (one, other) => one.lift > other.lift;
      for (const { title, firing } of chosen) {
        for (const [row, { fires, lift }] of firing) {
          const here = { title, fires, lift };
          if (!found.lifts.has(row) || more(here, found.lifts.get(row))) found.lifts.set(row, here);
        }
      }
      const without = (name) => ({ label: names.filter((other) => other !== name) });
      if (mode === "all") return chosen.map(({ name, text, firing }) => ({ text, test: (row) => firing.has(row), without: without(name) }));
      const chips = chosen.map(({ name, text }) => ({ text, without: without(name) }));
      const text = chosen.length > 1 ? `fires on any of ${chosen.length} labels` : chosen[0].text;
      return [{ text, test: (row) => chosen.some(({ firing }) => firing.has(row)), without: { label: [] }, chips }];
    }

    #shaped({ shape }, { shaped }) {
      const names = shape.filter((name) => this.#classes?.names.includes(name));
      if (!names.length) return [];
      this.#manifest.experts.expert.forEach((_, row) => {
        const shapes = this.#classes.found(row, names);
        if (shapes.length) shaped.set(row, { shapes });
      });
      const chips = names.map((name) => ({ text: `shape: ${name}`, without: { shape: names.filter((other) => other !== name) } }));
      const text = names.length > 1 ? `any of ${names.length} shapes` : chips[0].text;
      return [{ text, test: (row) => shaped.has(row), without: { shape: [] }, chips }];
    }

    #numbers(state, { best }) {
      const { importance, rate } = this.#manifest.experts;
      return [
        { key: "score", text: () => `R² ≥ ${number(state.score)}`, test: (row) => best(row)?.value >= state.score - EXACT },
        { key: "importance", text: () => `importance ≥ ${percent(state.importance)}`, test: (row) => importance[row] >= state.importance - EXACT },
        { key: "rate_min", text: () => `fires on ≥ ${percent(state.rate_min)} of tokens`, test: (row) => rate[row] >= state.rate_min - EXACT },
        { key: "rate_max", text: () => `fires on ≤ ${percent(state.rate_max)} of tokens`, test: (row) => rate[row] <= state.rate_max + EXACT },
      ].filter(({ key }) => state[key] !== null).map(({ key, text, test }) => ({ text: text(), test, without: { [key]: null } }));
    }
  }

  // The first place in sorted texts that is not before `text`.
  function lower(texts, text) {
    let [low, high] = [0, texts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (texts[middle] < text) low = middle + 1; else high = middle;
    }
    return low;
  }

  const told = (found, all) => (found === all ? `${count(all)} experts` : `${count(found)} of ${count(all)} experts`);

  atlas.find = { Finder, SORTS, sorts, sorted, told };
})();
