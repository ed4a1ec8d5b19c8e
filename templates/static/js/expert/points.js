"use strict";
// The points of one expert on one task, decoded: what they are coloured by, and the context of each.
(() => {
  const { array, load, unpack } = atlas.payloads;
  const { split } = atlas.contexts;
  const AROUND = 5;            // tokens on either side of a corpus point's own
  const NORM_STEPS = 65535;
  const IMPORTANCE_STEPS = 32767;

  // The packed columns that a payload has, by name.
  async function unpacked(payload, names) {
    const there = names.filter((name) => payload[name]);
    const columns = await Promise.all(there.map((name) => unpack(payload[name])));
    return Object.fromEntries(there.map((name, at) => [name, columns[at]]));
  }

  // A labelled task's sentences, by window. What they were read to stays with the payload.
  function sentences(payload) {
    payload.unpacked ??= unpacked(payload, ["length", "tokens", "position", "label", "template"]).then((columns) => {
      let start = 0;
      const starts = Array.from(columns.length, (one) => (start += one) - one);
      const row = new Map(Array.from(array(payload.window), (window, at) => [window, at]));
      return { texts: payload.texts, ...columns, starts, row };
    });
    return payload.unpacked;
  }

  class Points {
    #stored; #texts; #norm; #importance; #window; #sentences; #columns;

    // stored: of the payload's `tasks[]`; texts: of all tokens; columns: what it has packed, of a corpus also the tokens around each
    // firing (`hover`), its `position` and `document`; sentences: of a labelled task.
    constructor(task, stored, texts, columns, read) {
      this.task = task;
      this.kept = stored.kept;
      [this.x, this.y, this.z] = [columns.x, columns.y, columns.z];   // in steps
      this.unit = stored.unit;       // residual-stream units to a step
      this.origin = stored.origin;   // in steps: where the expert is silent
      this.means = means(stored.means);
      this.#stored = stored;
      this.#texts = texts;
      this.#norm = array(stored.norm.steps);
      this.#importance = columns.importance;
      this.#window = columns.window && summed(columns.window);
      [this.#sentences, this.#columns] = [read, columns];
    }

    get count() { return this.#norm.length; }
    get isLabelled() { return this.#sentences !== null; }

    norm(at) { return this.#norm[at] / NORM_STEPS * this.#stored.norm.most; }

    // By how much the squared error on its token would be larger without it, in mean variances of a token; NaN where not measured.
    importance(at) {
      const steps = this.#importance?.[at] ?? -IMPORTANCE_STEPS - 1;
      return steps < -IMPORTANCE_STEPS ? NaN : steps / IMPORTANCE_STEPS * this.#stored.importance.most;
    }

    // The tokens before the firing in its window, or in its sentence.
    position(at) { return (this.#sentences ? this.#of("position", at) : this.#columns.position?.[at]) ?? NaN; }

    // The document's number; corpora only.
    document(at) { return this.#columns.document?.[at] ?? NaN; }

    // The template's number; labelled tasks only.
    template(at) { return (this.#sentences && this.#of("template", at)) ?? NaN; }

    // The label's place among the task's; labelled tasks only.
    label(at) { return this.#of("label", at); }

    // The row of the task that the firing is on; labelled tasks only.
    row(at) { return this.#window[at]; }

    // What the tables say of the sentence; undefined where the atlas has no such column.
    #of(name, at) { return this.#sentences[name]?.[this.#sentences.row.get(this.#window[at])]; }

    // Tokens around the firing, null where rows are no text.
    context(at) {
      if (!this.#sentences) {
        const width = 2 * AROUND + 1;
        return split(Array.from(this.#columns.hover.subarray(at * width, (at + 1) * width), (index) => this.#texts[index]), AROUND);
      }
      if (!this.task.has_text) return null;
      const { texts, length, tokens, position, starts, row } = this.#sentences;
      const place = row.get(this.#window[at]);
      return split(Array.from(tokens.subarray(starts[place], starts[place] + length[place]), (index) => texts[index]), position[place]);
    }
  }

  function means(stored) {
    if (!stored) return { x: [], y: [], z: [], label: [], text: [] };
    const [x, y, z] = ["x", "y", "z"].map((axis) => Array.from(array(stored[axis])));
    return { x, y, z, label: stored.label, text: stored.text };
  }

  async function open(task, stored, texts) {
    const [columns, read] = await Promise.all([
      unpacked({ ...stored, importance: stored.importance?.steps }, ["x", "y", "z", "window", "importance", "hover", "position", "document"]),
      task.labels.name.length ? load(`tasks/${task.task}`).then(sentences) : null,
    ]);
    return new Points(task, stored, texts, columns, read);
  }

  // Each number is stored as what it is more than the one before.
  function summed(steps) {
    let sum = 0;
    return Uint32Array.from(steps, (step) => (sum += step));
  }

  atlas.points = { open, sentences };
})();
