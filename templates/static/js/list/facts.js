"use strict";
// What the list, the table, the preview and the downloads say of an expert, by its row of the manifest.
(() => {
  const { array } = atlas.payloads;
  const { number } = atlas.words;
  const known = (value) => value !== null && value === value;   // NaN is what was not measured

  class Facts {
    #manifest; #classes; #tasks = new Map(); #cluster;

    // classes: of shapes, or null.
    constructor(manifest, classes) {
      this.#manifest = manifest;
      this.#classes = classes;
      for (const task of manifest.tasks) this.#tasks.set(task.task, task);
      this.#cluster = manifest.map && array(manifest.map.cluster);
    }

    of(name, row) { return this.#manifest.experts[name][row]; }
    expert(row) { return this.of("expert", row); }
    title(row) { return this.of("title", row); }

    // The number that a title rests on; "" of a silent expert.
    rests(row) {
      const value = this.of("value", row);
      return this.of("silent", row) || !known(value) ? "" : `${this.of("measure", row)} ${number(value)}`;
    }

    // A task by its number; undefined where there is none.
    task(of) { return this.#tasks.get(of); }
    claimed(row) { return this.task(this.of("title_task", row)); }

    // The task whose labels colour an expert's cloud; undefined where that is a corpus.
    coloured(row) {
      const task = this.task(this.of("cloud_task", row));
      return task?.labels.name.length ? task : undefined;
    }

    colours(row) { return this.coloured(row)?.labels.colours[atlas.scheme.name()] ?? []; }

    // ► { task, hypothesis } of a score.
    read({ task: of, hypothesis: which }) {
      const task = this.task(of);
      return { task, hypothesis: task.hypotheses.find(({ hypothesis }) => hypothesis === which) };
    }

    shape(row) { return this.#classes?.claimed(row) ?? null; }

    cluster(row) {
      const at = this.#cluster ? this.#cluster[row] : 0;
      return at ? this.#manifest.map.clusters.name[at - 1] : null;
    }

    orders(row) { return (this.of("orders", row) ?? []).map((of) => this.task(of)); }
    activity(row) { return this.of("silent", row) ? "silent" : this.of("dense", row) ? "dense" : "neither"; }
  }

  atlas.facts = { Facts, known };
})();
