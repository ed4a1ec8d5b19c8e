"use strict";
// The points of one expert on one task, decoded: what they are coloured by, and the context of each.
(() => {
  const { array, load, unpack } = atlas.payloads;
  const { split } = atlas.contexts;
  const AROUND = 5;            // tokens on either side of a corpus point's own
  const NORM_STEPS = 65535;

  // A labelled task's sentences, by window. What they were read to stays with the payload.
  function sentences(payload) {
    payload.unpacked ??= Promise.all(["length", "tokens", "position", "label"].map((name) => unpack(payload[name]))).then(([length, tokens, position, label]) => {
      let start = 0;
      const starts = Array.from(length, (one) => (start += one) - one);
      const row = new Map(Array.from(array(payload.window), (window, at) => [window, at]));
      return { texts: payload.texts, length, tokens, position, label, starts, row };
    });
    return payload.unpacked;
  }

  class Points {
    #stored; #texts; #norm; #window; #sentences; #hover;

    // stored: of the payload's `tasks[]`; texts: the payload's own.
    constructor(task, stored, texts, { sentences: read = null, hover = null }) {
      this.task = task;
      this.kept = stored.kept;
      [this.x, this.y, this.z] = ["x", "y", "z"].map((axis) => array(stored[axis]));   // in steps
      this.unit = stored.unit;       // residual-stream units to a step
      this.origin = stored.origin;   // in steps: where the expert is silent
      this.means = means(stored.means);
      this.#stored = stored;
      this.#texts = texts;
      this.#norm = array(stored.norm.steps);
      this.#window = stored.window && array(stored.window);
      [this.#sentences, this.#hover] = [read, hover];
    }

    get count() { return this.#norm.length; }
    get isLabelled() { return this.#sentences !== null; }

    norm(at) { return this.#norm[at] / NORM_STEPS * this.#stored.norm.most; }

    // The label's place among the task's; labelled tasks only.
    label(at) { return this.#sentences.label[this.#sentences.row.get(this.#window[at])]; }

    // The row of the task that the firing is on; labelled tasks only.
    row(at) { return this.#window[at]; }

    // Tokens around the firing, null where rows are no text.
    context(at) {
      if (!this.#sentences) {
        const width = 2 * AROUND + 1;
        return split(Array.from(this.#hover.subarray(at * width, (at + 1) * width), (index) => this.#texts[index]), AROUND);
      }
      if (!this.task.has_text) return null;
      const { texts, length, tokens, position, starts, row } = this.#sentences;
      const place = row.get(this.#window[at]);
      return split(Array.from(tokens.subarray(starts[place], starts[place] + length[place]), (index) => texts[index]), position[place]);
    }
  }

  function means(stored) {
    if (!stored) return { x: [], y: [], z: [], place: [], text: [] };
    const [x, y, z] = ["x", "y", "z"].map((axis) => Array.from(array(stored[axis])));
    return { x, y, z, place: stored.place, text: stored.text };
  }

  async function open(task, stored, texts) {
    if (!task.labels.name.length) return new Points(task, stored, texts, { hover: await unpack(stored.hover) });
    return new Points(task, stored, texts, { sentences: await sentences(await load(`tasks/${task.task}`)) });
  }

  atlas.points = { open, sentences };
})();
