"use strict";
// The class of shape that every expert's cloud has on each source: a corpus, or a task that it covers.
(() => {
  const { array } = atlas.payloads;
  const UNCLEAR = "unclear";   // claims nothing

  class Classes {
    #sources; #found; #counts;

    constructor({ shapes, experts, tasks }) {
      this.names = shapes.classes;
      this.expected = shapes.expected;
      const all = experts.expert.length;
      this.#sources = shapes.sources.map(({ task, rows, classes }) => {
        const of = new Int8Array(all).fill(-1);
        const [places, at] = [array(rows), array(classes)];
        for (let place = 0; place < places.length; place += 1) of[places[place]] = at[place];
        return { task: tasks.find((one) => one.task === task), of };
      });
      // Of each row, the class of the cloud in the list, else that on the first corpus; -1 where it has none.
      this.shown = this.#onList(experts.cloud_task, all);
      this.#found = this.#foundBy(all);
      this.#counts = new Uint32Array(this.names.length);
      for (const bits of this.#found) for (let at = 0; bits >> at; at += 1) this.#counts[at] += (bits >> at) & 1;
    }

    #onList(clouds, all) {
      const of = new Map(this.#sources.map((source) => [source.task.task, source.of]));
      const shown = of.get(0)?.slice() ?? new Int8Array(all).fill(-1);
      for (let row = 0; row < all; row += 1) {
        const here = of.get(clouds[row])?.[row] ?? -1;
        if (here >= 0) shown[row] = here;
      }
      return shown;
    }

    // Of each row one bit for each class by which the filter finds it: any that it is of on some source, unclear if it is of no other.
    #foundBy(all) {
      const unclear = 1 << this.names.indexOf(UNCLEAR);
      const found = new Uint32Array(all);
      for (const { of } of this.#sources) for (let row = 0; row < all; row += 1) if (of[row] >= 0) found[row] |= 1 << of[row];
      for (let row = 0; row < all; row += 1) if (found[row] !== unclear) found[row] &= ~unclear;
      return found;
    }

    // The place of a row's class among the names; -1 where it has none.
    at(row) { return this.shown[row]; }

    // The class that is claimed of a row's cloud; null where none is.
    claimed(row) {
      const name = this.names[this.shown[row]] ?? UNCLEAR;
      return this.isClaim(name) ? name : null;
    }

    isClaim(name) { return name !== UNCLEAR; }

    // Sets out[row] to 1 for rows that the filter finds by any of these classes, else to 0.
    mask(names, out) {
      let wanted = 0;
      for (const name of names) wanted |= this.#bit(name);
      for (let row = 0; row < out.length; row += 1) out[row] = this.#found[row] & wanted ? 1 : 0;
      return out;
    }

    #bit(name) { return this.names.includes(name) ? 1 << this.names.indexOf(name) : 0; }

    // Those of these classes that the filter finds a row by, each with the titles of the tasks on which its cloud is of it; labelled ones first.
    found(row, wanted) {
      const on = (name) => this.#sources.filter(({ of }) => this.names[of[row]] === name).map(({ task }) => task);
      const titles = (name) => on(name).sort((one, other) => (one.kind === "corpus") - (other.kind === "corpus")).map(({ title }) => title);
      return wanted.filter((name) => this.#found[row] & this.#bit(name)).map((name) => ({ name, titles: titles(name) }));
    }

    // How many experts the filter finds by a class.
    count(name) { return this.#counts[this.names.indexOf(name)] ?? 0; }
  }

  atlas.classes = { Classes };
})();
