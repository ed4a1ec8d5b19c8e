"use strict";
// How many experts each choice of a facet would leave, with all other filters as they are.
(() => {
  const { ACTIVITIES, EXACT, within } = atlas.filters;
  const NONE = 255;   // the bin of what is not measured

  class Counts {
    #manifest; #finder; #classes; #found; #failed; #state; #labels; #readable;

    constructor(manifest, finder, classes, found, failed, state, labels, readable) {
      [this.#manifest, this.#finder, this.#classes, this.#found, this.#failed, this.#state] = [manifest, finder, classes, found, failed, state];
      [this.#labels, this.#readable] = [labels, readable];
    }

    // Whether each row passes all filters but those of a facet.
    passing(...facets) {
      const { filters } = this.#found;
      const others = filters.reduce((word, { facet }, at) => (facets.includes(facet) ? word : word | 1 << at), 0);
      const failed = this.#failed;
      const left = new Uint8Array(failed.length);
      for (let row = 0; row < left.length; row += 1) left[row] = (failed[row] & others) === 0 ? 1 : 0;
      return left;
    }

    // By task; of null: whatever it is about. One whose scores are asked for and could not be read has null. Where an order has to be
    // supported, it is that of the task that would be chosen.
    tasks() {
      const { order } = this.#state;
      const left = this.passing("task", "order", "hypothesis", "score", "coverage");
      const tests = this.#fitting();
      const fits = (about, row) => tests === null || (tests.get(about)?.(row) ?? false);
      const counts = new Map(this.#manifest.tasks.map(({ task }) => [task, 0]));
      const { title_task: titled, orders } = this.#manifest.experts;
      let all = 0;
      for (let row = 0; row < left.length; row += 1) {
        if (!left[row] || (order && !orders[row].length)) continue;
        if (fits(null, row)) all += 1;
        const about = order ? null : titled[row];
        if (about !== null && fits(about, row)) counts.set(about, counts.get(about) + 1);
        for (const task of orders[row]) if (task !== about && fits(task, row)) counts.set(task, counts.get(task) + 1);
      }
      for (const [task, test] of tests ?? []) if (test === null) counts.set(task, null);
      return counts.set(null, all);
    }

    // By task: whether a row would pass what is asked of scores if it were chosen; null where nothing is asked. Whose score is meant follows
    // from the task, and a hypothesis of another task goes.
    #fitting() {
      const { score, coverage, hypothesis } = this.#state;
      if (!score && !coverage && !hypothesis) return null;
      const asked = hypothesis ? this.#finder.hypothesis(hypothesis) : null;
      const [passes, covers] = [within(score), within(coverage)];
      return new Map([null, ...this.#manifest.tasks.filter(({ labels }) => labels.name.length)].map((task) => {
        const keeps = hypothesis && (task === null || task === asked?.task);
        const source = keeps ? this.#found.score : this.#finder.best(task);
        const isRead = keeps ? (row) => asked !== undefined && !Number.isNaN(source.value[row]) : () => true;
        return [task === null ? null : task.task, source ? (row) => isRead(row) && passes(source.value[row]) && covers(source.coverage[row]) : null];
      }));
    }

    orders() {
      const left = this.passing("order");
      const { orders } = this.#manifest.experts;
      const task = this.#manifest.tasks.find(({ name }) => name === this.#state.task);
      return total(left, (row) => (task ? orders[row].includes(task.task) : orders[row].length > 0));
    }

    marked() {
      const left = this.passing("marked");
      return [...atlas.marks.starred].filter((expert) => left[this.#finder.row(expert)]).length;
    }

    shapes() {
      const left = this.passing("shape");
      const mask = new Uint8Array(left.length);
      return this.#classes.names.map((name) => {
        mask.fill(0);
        this.#classes.mask([name], mask);
        return total(left, (row) => mask[row] === 1);
      });
    }

    clusters() {
      const left = this.passing("cluster");
      const counts = new Uint32Array(this.#manifest.map?.clusters.name.length ?? 0);
      const { cluster } = this.#finder;
      for (let row = 0; row < left.length; row += 1) if (left[row] && cluster[row]) counts[cluster[row] - 1] += 1;
      return counts;
    }

    activities() {
      const left = this.passing("activity");
      const counts = [0, 0, 0];
      for (let row = 0; row < left.length; row += 1) if (left[row]) counts[this.#finder.activity(row)] += 1;
      return Object.fromEntries(ACTIVITIES.map((name, at) => [name, counts[at]]));
    }

    // By hypothesis of a task; null where its scores are not loaded. A filter by score or coverage is by those of the hypothesis then.
    hypotheses(task) {
      if (!this.#readable.has(task)) return null;
      const left = this.passing("hypothesis", "score", "coverage");
      const [scored, covering] = [within(this.#state.score), within(this.#state.coverage)];
      return this.#readable.get(task).map(({ rows, value, coverage }) => {
        let sum = 0;
        for (let place = 0; place < rows.length; place += 1) if (left[rows[place]] && scored(value[place]) && covering(coverage[place])) sum += 1;
        return sum;
      });
    }

    // By label of a task; null where its labels are not loaded. Where all labels are wanted, one more narrows what the others leave.
    labels(task) {
      if (!this.#labels.has(task)) return null;
      const left = this.#state.mode === "all" ? this.#found.passing : this.passing("label");
      const counts = new Uint32Array(task.labels.name.length);
      const { starts, rows, fired } = this.#labels.get(task);
      for (let at = 0; at < counts.length; at += 1) {
        const least = (this.#state.fires - EXACT) * task.labels.rows[at];
        let sum = 0;
        for (let place = starts[at]; place < starts[at + 1]; place += 1) if (fired[place] >= least) sum += left[rows[place]];
        counts[at] = sum;
      }
      return counts;
    }

    // Of an amount: by bin, of all experts or of those that pass the other filters; and how many of these are not measured.
    bins(key, { all = false } = {}) {
      const amount = this.#finder.amounts.find((one) => one.key === key);
      const left = all ? null : this.passing(key);
      const counts = new Uint32Array(amount.edges.length - 1);
      const bin = amount.bin ?? this.#binned(key, amount);
      let missing = 0;
      for (let row = 0; row < bin.length; row += 1) {
        if (left && !left[row]) continue;
        if (bin[row] === NONE) missing += 1; else counts[bin[row]] += 1;
      }
      return Object.assign(counts, { missing });
    }

    // Which score is meant depends on the query; its bins are made once.
    #binned(key, { edges }) {
      const { score } = this.#found;
      score.bins ??= new Map();
      if (!score.bins.has(key)) score.bins.set(key, binned(this.#finder.values(key, score), edges));
      return score.bins.get(key);
    }
  }

  // Bins of even width; NONE where there is no value.
  function binned(values, edges) {
    const last = edges.length - 2;
    const [low, width] = [edges[0], edges[1] - edges[0]];
    const bins = new Uint8Array(values.length).fill(NONE);
    for (let row = 0; row < bins.length; row += 1) {
      if (!Number.isNaN(values[row])) bins[row] = Math.max(0, Math.min(last, Math.floor((values[row] - low) / width + 1e-6)));
    }
    return bins;
  }

  function total(left, test) {
    let sum = 0;
    for (let row = 0; row < left.length; row += 1) if (left[row] && test(row)) sum += 1;
    return sum;
  }

  atlas.counts = { Counts };
})();
