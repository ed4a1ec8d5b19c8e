"use strict";
// The cloud of one expert with its controls: which points, coloured by what.
(() => {
  const { make, count, percent } = atlas.words;
  const { load } = atlas.payloads;
  const DRAWN = 3;   // axes

  class Stage {
    #root; #manifest; #scene; #record = null; #asked = null; #resets = 0; #onSource;

    // onSource hears of the task whose points are shown.
    constructor(root, manifest, onSource) {
      this.#root = root;
      this.#manifest = manifest;
      this.#onSource = onSource;
      this.#scene = new atlas.scene.Scene(this.#part("scene"), document.querySelector("[data-tip]"), (camera) => atlas.route.adjust({ camera }));
      this.#part("colour").addEventListener("change", (event) => atlas.route.adjust({ colour: event.target.value }));
      this.#part("reset").addEventListener("click", () => this.#reset());
      atlas.scheme.changes.addEventListener("change", () => { if (root.checkVisibility()) this.#again(); });
    }

    #part(name) { return this.#root.querySelector(`[data-${name}]`); }

    #again() {
      this.#asked = null;
      return this.show(this.#record, atlas.route.state);
    }

    #reset() {
      this.#resets += 1;
      atlas.route.adjust({ camera: null });
      this.#again();
    }

    // Shows an expert's cloud as the address asks; what is shown already stays.
    async show(record, state) {
      this.#root.hidden = !record.data.tasks.length;
      if (this.#root.hidden) return this.#onSource(record.data.shapes[0]?.task);
      if (record !== this.#record) this.#offer(record);
      const asked = `${record.row} ${state.colour}`;
      if (asked === this.#asked) return;
      [this.#record, this.#asked] = [record, asked];
      const task = this.#chosen(record, state);
      this.#part("colour").value = task.name;
      this.#onSource(task.task);
      const [points, figure] = await Promise.all([record.points(task.task), load("figure")]);
      if (asked !== this.#asked) return;
      const supported = record.supported(task);
      this.#part("drawn").replaceChildren(this.#caption(points, supported));
      await this.#scene.show({
        title: `Cloud of expert ${record.expert}, coloured by ${points.isLabelled ? task.title : "norm"}`,
        figure: figure[atlas.scheme.name()],
        x: points.x, y: points.y, z: points.z,
        colour: Float32Array.from({ length: points.count }, (_, at) => (points.isLabelled ? task.labels.place[points.label(at)] : points.norm(at))),
        means: { ...points.means, colour: points.means.place },
        axes: axisNames(record.data.axes),
        joined: supported.some((shape) => shape !== "map"), closed: task.cyclic,
        origin: points.origin, camera: state.camera, key: `${record.expert}/${this.#resets}`,
        describe: (at) => told(points, at),
      });
    }

    #offer(record) {
      this.#part("colour").replaceChildren(...record.sources.map(({ task, name, title }) => make("option", { value: name }, record.isCorpus(task) ? `norm, on ${record.source(task)}` : title)));
    }

    // The task that a reader looks at: chosen here, else the one that the list was narrowed by, else the expert's own.
    #chosen(record, state) {
      const { sources } = record;
      return sources.find(({ name }) => name === asked(state)) ?? sources.find(({ task }) => task === record.field("cloud_task")) ?? sources[0];
    }

    #caption({ task, count: shown, kept, means, isLabelled }, supported) {
      const many = shown < kept ? `${count(shown)} of ${count(kept)} firings` : `${count(shown)} firings`;
      if (!isLabelled) return `${many} on ${this.#record.source(task.task)}, coloured by norm. Drawn is what each adds to the residual stream, on its principal axes${this.#axes()}`;
      const several = task.labels_per_mean > 1 ? ` of ${task.labels_per_mean} labels each` : "";
      const marks = !means.text.length ? "" : `; large marks are class means${several}${joining(task, supported)}`;
      return `${many} at the labels of ${task.title}${marks}. Drawn on principal axes${this.#axes()}`;
    }

    // What the names of the axes say, and what is not drawn.
    #axes() {
      const { axes } = this.#record.data;
      const first = this.#record.source(0);
      const known = axes.some((share) => share > 0);
      const said = known ? `, each with its share of the variance on ${first}.` : ".";
      if (axes.length === 1) return `${said} Its contribution is one number: height only spreads the points.`;
      if (axes.length <= DRAWN || !known) return said;
      const held = axes.slice(0, DRAWN).reduce((sum, share) => sum + share, 0);
      const rest = axes.length === DRAWN + 1 ? `axis ${DRAWN + 1}` : axes.length === DRAWN + 2 ? `axes ${DRAWN + 1} and ${DRAWN + 2}` : `axes ${DRAWN + 1} to ${axes.length}`;
      return `${said} The first three hold ${percent(held)} of it, ${rest} the rest.`;
    }
  }

  const asked = ({ colour, label, task }) => colour ?? label[0]?.split(":")[0] ?? task;

  // What is said of one point.
  function told(points, at) {
    const about = points.isLabelled ? [points.task.labels.name[points.label(at)], ...(points.task.has_text ? [] : [`row ${count(points.row(at))}`])] : [];
    return atlas.contexts.describe(points.context(at), about, points.norm(at));
  }

  // The names of the axes that are drawn, each with its share of the variance.
  const axisNames = (shares) => shares.slice(0, DRAWN).map((share, axis) => (share > 0 ? `axis ${axis + 1} · ${percent(share)}` : `axis ${axis + 1}`));

  // What follows a caption's class means: whether they are joined in label order, and why not.
  function joining(task, supported) {
    if (supported.some((shape) => shape !== "map")) return ", joined in label order";
    if (supported.length) return ". Their arrangement is supported; there is no order to join them in";
    const tested = task.hypotheses.some(({ shape, of_label }) => of_label && (shape === "ring" || shape === "ordinal"));
    return tested ? ". Order not supported, so they are not joined" : "";
  }

  atlas.stage = { Stage, asked };
})();
