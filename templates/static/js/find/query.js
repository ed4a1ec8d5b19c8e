"use strict";
// Which experts a query leaves, in which order, and why; and how many each facet would leave, with the other filters as they are.
// Every filter has a bit; an expert's word holds the bits of those it fails. Knows the manifest and the payloads, never the page.
(() => {
  const { load, array } = atlas.payloads;
  const { folded } = atlas.search;
  const { SORTS, STORED, sorts, sorted, descending, bits, every, kept, known } = atlas.sorting;
  const { ACTIVITIES, EXACT } = atlas.filters;
  const { count } = atlas.words;
  const SUGGESTED = 4;

  class Finder {
    #manifest; #experts; #classes; #search; #labels = new Map(); #readable = new Map(); #scores = new Map(); #orders = new Map(); #rows; #own; #cluster; #filters;

    // classes: of shapes, or null.
    constructor(manifest, classes) {
      this.#manifest = manifest;
      this.#experts = manifest.experts;
      this.#classes = classes;
      this.#rows = new Map(Array.from(manifest.experts.expert, (expert, row) => [expert, row]));
      this.#search = new atlas.search.Search(this.#experts, (expert) => this.row(expert));
      this.#cluster = manifest.map ? array(manifest.map.cluster) : new Uint8Array(this.all);
      this.#filters = new atlas.filters.Filters(manifest, this, classes);
      this.#own = atlas.scores.ofAll(manifest);
    }

    get all() { return this.#experts.expert.length; }

    get amounts() { return this.#manifest.amounts; }

    // An expert's row by its number; -1 where the atlas has none.
    row(expert) { return this.#rows.get(expert) ?? -1; }

    // Each row's cluster on the map: its place among manifest.map.clusters plus one, 0 where there is none.
    get cluster() { return this.#cluster; }

    token(text) { return this.#search.token(text); }

    // Tokens that a query is or begins, with what `ready` gave.
    tokens(ready) { return this.#search.tokens(ready.search); }

    // Loads what the query looks up, and returns it for `find`: nothing of it is needed to show the list.
    // What cannot be read is null, and said in `trouble`.
    async ready(state) {
      const trouble = [];
      const tried = async (promise) => { try { return await promise; } catch (error) { trouble.push(error.message); return null; } };
      const labels = [...state.label.map((name) => this.label(name)), ...this.suggested(state.q)].filter(Boolean);
      const [search, score, order] = await Promise.all([
        tried(this.#search.ready(state.q)), tried(this.#scored(state)), tried(this.#ordered(sorted(state).name)),
        ...labels.map(({ task }) => tried(this.loadLabels(task))),
        // To count what each task would leave takes the scores of each.
        ...(state.score || state.coverage || state.hypothesis ? this.#manifest.tasks.filter(({ labels: { name } }) => name.length).map((task) => tried(this.#loadScores(task))) : []),
      ]);
      return { search, score, order, trouble: trouble[0] ?? null };
    }

    // --- what is loaded ---

    // A labelled task of this name.
    task(name) { return this.#manifest.tasks.find((task) => task.name === name && task.labels.name.length); }

    // "months:0" ► its task and its place among the task's hypotheses; undefined where this atlas has none such.
    hypothesis(name) {
      const cut = name.indexOf(":");
      const task = this.task(name.slice(0, cut));
      const at = task ? task.hypotheses.findIndex(({ hypothesis }) => String(hypothesis) === name.slice(cut + 1)) : -1;
      return at < 0 ? undefined : { task, at, title: task.hypotheses[at].title };
    }

    // The scores that a state asks for: of a hypothesis, of the best of a task, else of the best of all.
    #scored({ hypothesis: name, task: of }) {
      const asked = name ? this.hypothesis(name) : null;
      const task = asked ? asked.task : this.task(of);
      return task ? this.#loadScores(task, asked?.at) : this.#own;
    }

    // Of a task's best hypotheses, or of the one at a place.
    async #loadScores(task, at = null) {
      const key = `${task.task}:${at ?? "best"}`;
      if (!this.#scores.has(key)) {
        const { best, of: each } = await load(`scores/${task.task}`);
        this.#scores.set(key, atlas.scores.ofTask(at === null ? best : each[at], this.all, task, at));
      }
      return this.#scores.get(key);
    }

    // What the list would go by if a task were chosen, or none (null); of a task once something is asked of scores.
    best(task) { return task === null ? this.#own : this.#scores.get(`${task.task}:best`); }

    async #ordered(name) {
      if (!STORED.includes(name)) return null;
      if (!this.#orders.has(name)) {
        const { rows, known } = await load(`orders/${name}`);
        this.#orders.set(name, { rows: array(rows), known });
      }
      return this.#orders.get(name);
    }

    async loadLabels(task) {
      const { starts, rows, fired, lift } = await load(`labels/${task.task}`);
      if (!this.#labels.has(task)) this.#labels.set(task, { starts: array(starts), rows: array(rows), fired: array(fired), lift: array(lift) });
    }

    // The experts from which each hypothesis of a task can be read.
    async loadReadable(task) {
      const { of } = await load(`scores/${task.task}`);
      const labels = task.labels.name.length;
      const read = (stored) => ({ rows: array(stored.rows), value: array(stored.value), coverage: Float32Array.from(array(stored.covered), (covered) => covered / labels) });
      const nobody = { rows: [], value: [], coverage: [] };
      if (!this.#readable.has(task)) this.#readable.set(task, of.map((stored) => (stored ? read(stored) : nobody)));
    }

    knows(task) { return this.#labels.has(task); }

    // "months:September" ► its task and number; undefined where this atlas has no such label.
    label(name) {
      const cut = name.indexOf(":");
      const task = this.#manifest.tasks.find((one) => one.name === name.slice(0, cut));
      const at = task ? task.labels.name.indexOf(name.slice(cut + 1)) : -1;
      return at < 0 ? undefined : { task, at, title: task.labels.name[at] };
    }

    // Calls act(row, share of the label's rows, lift) for the experts that fire on at least this share; the task must be loaded.
    firing({ task, at }, least, act) {
      const { starts, rows, fired, lift } = this.#labels.get(task);
      const all = task.labels.rows[at];
      for (let place = starts[at]; place < starts[at + 1]; place += 1) if (fired[place] / all >= least - EXACT) act(rows[place], fired[place] / all, lift[place]);
    }

    // Labels whose name a query begins or is.
    suggested(query) {
      const wanted = folded(query);
      if (!wanted) return [];
      return this.#manifest.tasks.flatMap((task) => task.labels.name.flatMap((title, at) => {
        const name = folded(title);
        return name === wanted || (wanted.length > 2 && name.startsWith(wanted)) ? [{ task, at, title, name: `${task.name}:${title}` }] : [];
      })).slice(0, SUGGESTED);
    }

    // --- finding ---

    // loaded: what `ready` gave for this state. ► rows in order; passing, by row; the filters; if there is no row, the filters without
    // which there would be, and how many; a row's best score; what a row was found by; and the facets' counts.
    find(asked, loaded) {
      const state = this.#answerable(asked, loaded);
      const score = loaded.score ?? this.#own;
      const found = { passing: new Uint8Array(this.all), sort: sorted(state), matches: this.#search.matches(loaded.search), lifts: null };
      const failed = new Uint32Array(this.all);
      found.filters = this.#filters.of(state, found, score);
      found.filters.forEach(({ test }, at) => {
        const bit = 1 << at;
        for (let row = 0; row < failed.length; row += 1) if (!test(row)) failed[row] |= bit;
      });
      for (let row = 0; row < failed.length; row += 1) found.passing[row] = failed[row] === 0 ? 1 : 0;
      found.rows = this.#sort(found, { order: loaded.order, score });
      found.relaxed = found.rows.length ? [] : relaxed(found.filters, failed);
      found.best = (row) => (Number.isNaN(score.value[row]) ? null : score.at(row));
      found.score = score;
      found.tokens = this.#search.tokens(loaded.search);
      found.reason = (row) => this.#reason(row, state, found);
      found.counts = new atlas.counts.Counts(this.#manifest, this, this.#classes, found, failed, state, this.#labels, this.#readable);
      return found;
    }

    // The state without what asks for something that could not be read.
    #answerable(state, { search, score, order }) {
      const isRead = (name) => { const label = this.label(name); return !label || this.knows(label.task); };
      return {
        ...state, label: state.label.filter(isRead), ...(search ? {} : { q: "" }),
        ...(score ? {} : { hypothesis: null, score: null, coverage: null }),
        ...(order || !STORED.includes(sorted(state).name) ? {} : { sort: null }),
      };
    }

    // --- what is known of a row ---

    // Whether an expert's title names a task, or an order of it is supported.
    isAbout(row, task) { return this.#experts.title_task[row] === task || this.#experts.orders[row].includes(task); }

    // The place of a row's activity among silent, dense, neither.
    activity(row) {
      if (this.#experts.silent[row]) return 0;
      return this.#experts.dense[row] ? 1 : 2;
    }

    // A row's value of an amount is values(key, score)[row]; NaN where it is not known.
    values(key, score) {
      if (key === "score") return score.value;
      return key === "coverage" ? score.coverage : this.#experts[key];
    }

    // --- order ---

    #sort(found, { order, score }) {
      const key = this.#key(found, score);
      const rows = every(found.passing);
      const ordered = key ? descending(rows, key) : order ? kept(order.rows, found.passing, rows.length) : rows;
      if (found.sort.turned) ordered.subarray(0, known(ordered, key, order, found.passing)).reverse();
      return ordered;
    }

    // What rows are ordered by where that depends on the query: a whole number by row, 0 where there is nothing to go by.
    #key({ sort: { name }, matches, lifts }, score) {
      if (name === "match") return matches.rank;
      if (name === "lift") return bits(lifts.lift);
      return (name === "score" || name === "coverage") && score !== this.#own ? bits(this.values(name, score)) : null;
    }

    // --- why ---

    #reason(row, { shape }, { lifts, matches }) {
      if (lifts && lifts.of[row] >= 0) return { title: lifts.chosen[lifts.of[row]].label.title, fires: lifts.fires[row], lift: lifts.lift[row] };
      if (matches?.rank[row]) return matches.by(row);
      const shapes = shape.length && this.#classes ? this.#classes.found(row, shape) : [];
      return shapes.length ? { shapes } : null;
    }
  }

  // The filters without which something would be left, by how much; no closure per row: an expert that fails one filter has one bit.
  function relaxed(filters, failed) {
    const left = new Uint32Array(filters.length);
    for (let row = 0; row < failed.length; row += 1) {
      const word = failed[row];
      if (word && (word & (word - 1)) === 0) left[31 - Math.clz32(word)] += 1;
    }
    return filters.map((filter, at) => ({ ...filter, left: left[at] })).filter((filter) => filter.left).sort((one, other) => other.left - one.left);
  }

  const told = (found, all) => (found === all ? `${count(all)} ${all === 1 ? "expert" : "experts"}` : `${count(found)} of ${count(all)} experts`);

  atlas.query = { Finder, SORTS, ACTIVITIES, sorts, sorted, told };
})();
