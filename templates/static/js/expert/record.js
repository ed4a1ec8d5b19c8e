"use strict";
// What the atlas holds of one expert, with what the manifest knows of it and of its tasks.
(() => {
  const { load, unpack } = atlas.payloads;

  class Record {
    #points = new Map();   // by task

    // experts: of the payload; texts: of all tokens.
    constructor(manifest, row, experts, texts) {
      this.manifest = manifest;
      this.row = row;
      this.expert = manifest.experts.expert[row];
      this.texts = texts;
      this.data = experts[this.expert];
    }

    // A column of the manifest.
    field(name) { return this.manifest.experts[name][this.row]; }

    task(number) { return this.manifest.tasks.find(({ task }) => task === number); }

    isCorpus(number) { return this.task(number).kind === "corpus"; }

    // What a task is called in a sentence.
    source(number) {
      const several = this.manifest.tasks.filter(({ kind }) => kind === "corpus").length > 1;
      return this.isCorpus(number) && !several ? "the corpus" : this.task(number).title;
    }

    // One object per score: the columns, its task, and the group of experts that read the hypothesis better together.
    scores() {
      const { scores, groups } = this.data;
      return rowsOf(scores).map((row) => ({
        ...row, task: this.task(row.task), group: groups.find((one) => one.task === row.task && one.hypothesis === row.hypothesis),
      }));
    }

    // The shapes of the hypotheses on a task whose order is supported.
    supported(task) { return this.scores().filter((row) => row.task === task && row.order_supported).map((row) => hypothesis(row).shape); }

    // The tasks that it has points of.
    get sources() { return this.data.tasks.map(({ task }) => this.task(task)); }

    // Its points on a task that it has points of.
    points(number) {
      if (!this.#points.has(number)) {
        const points = atlas.points.open(this.task(number), this.data.tasks.find(({ task }) => task === number), this.texts);
        this.#points.set(number, points);
        points.catch(() => this.#points.delete(number));   // to be read again
      }
      return this.#points.get(number);
    }
  }

  // Columns ► one object per row.
  const rowsOf = (columns) => columns.task.map((_, at) => Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, column[at]])));

  const hypothesis = (row) => row.task.hypotheses.find((one) => one.hypothesis === row.hypothesis);

  // The record of an expert, by its row of the manifest.
  async function open(manifest, row) {
    const [experts, texts] = await Promise.all([load(`experts/${Math.floor(row / manifest.shards.experts)}`), load("texts")]);
    await Promise.all(experts[manifest.experts.expert[row]].corpora.flatMap(({ contexts }) => contexts).map(unpackContexts));
    return new Record(manifest, row, experts, texts);
  }

  // Puts the tokens of each context in place of all of them end to end.
  async function unpackContexts(stratum) {
    if (Array.isArray(stratum.tokens)) return;
    const tokens = Array.from(await unpack(stratum.tokens));
    const width = tokens.length / stratum.norm.length;
    stratum.tokens = stratum.norm.map((_, at) => tokens.slice(at * width, (at + 1) * width));
  }

  atlas.records = { open, rowsOf, hypothesis };
})();
