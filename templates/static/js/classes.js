"use strict";
// The class of shape that every expert's cloud has on each source: a corpus, or a task that it covers.
(() => {
  const { array } = atlas.payloads;
  const UNCLEAR = "unclear";   // claims nothing

  class Classes {
    #shown; #sources;

    constructor({ shapes, experts, tasks }) {
      this.names = shapes.classes;
      this.expected = shapes.expected;
      this.#sources = shapes.sources.map(({ task, rows, classes }) => {
        const of = new Int8Array(experts.expert.length).fill(-1);
        const at = array(classes);
        array(rows).forEach((row, place) => { of[row] = at[place]; });
        return { task: tasks.find((one) => one.task === task), of };
      });
      // That of the cloud in the list, else that on the corpus.
      const on = (task, row) => this.#sources.find((source) => source.task.task === task)?.of[row] ?? -1;
      this.#shown = experts.cloud_task.map((task, row) => { const here = on(task, row); return here < 0 ? on(0, row) : here; });
    }

    // The place of a row's class among the names; -1 where it has none.
    at(row) { return this.#shown[row]; }

    // The class that is claimed of a row's cloud; null where none is.
    claimed(row) {
      const name = this.names[this.#shown[row]] ?? UNCLEAR;
      return this.isClaim(name) ? name : null;
    }

    isClaim(name) { return name !== UNCLEAR; }

    // Those of these classes that a row's cloud is of (unclear: and of no other, on any source), each with the titles of the tasks on which it is; labelled ones first.
    found(row, wanted) {
      const on = (name) => this.#sources.filter(({ of }) => this.names[of[row]] === name).map(({ task }) => task);
      return wanted.filter((name) => this.isClaim(name) || !this.#isClaimed(row)).map((name) => ({ name, titles: on(name).sort((one, other) => (one.kind === "corpus") - (other.kind === "corpus")).map(({ title }) => title) })).filter(({ titles }) => titles.length);
    }

    // Whether a class is claimed of a row's cloud on any source.
    #isClaimed(row) { return this.#sources.some(({ of }) => of[row] >= 0 && this.isClaim(this.names[of[row]])); }

    // How many experts the filter finds by a class.
    count(name) { return this.#shown.filter((_, row) => this.found(row, [name]).length).length; }
  }

  atlas.classes = { Classes };
})();
