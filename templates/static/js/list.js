"use strict";
// The list of experts. Every row is in the page, so that find-in-page works; clouds are drawn when they come into view.
(() => {
  const { make, count, percent, token, trouble } = atlas.words;
  const { load, array } = atlas.payloads;
  const SIZE = { width: 148, height: 112 };
  const TURN = 0.5;   // radians a second
  const STRIP = 68;

  const descending = (column) => (a, b) => (column[b] ?? -Infinity) - (column[a] ?? -Infinity);
  const SORTS = {
    importance: { title: "importance", compare: ({ importance }) => descending(importance) },
    rate: { title: "firing rate", compare: ({ rate }) => descending(rate) },
    score: { title: "score", compare: ({ best_r2_all }) => descending(best_r2_all) },
    norm: { title: "mean norm", compare: ({ mean_norm }) => descending(mean_norm) },
    number: { title: "expert number", compare: ({ expert }) => (a, b) => expert[a] - expert[b] },
  };

  // An address may name any sort.
  const known = (sort) => (Object.hasOwn(SORTS, sort) ? sort : "importance");

  // The rows of the overview in the order of a sort; equals keep the overview's order.
  function order(columns, sort) {
    const compare = SORTS[known(sort)].compare(columns);
    return columns.expert.map((_, row) => row).sort((a, b) => compare(a, b) || a - b);
  }

  class List {
    #root; #manifest; #items; #list; #select; #turning = null;

    constructor(root, manifest) {
      this.#root = root;
      this.#manifest = manifest;
      this.#list = root.querySelector("[data-experts]");
      this.#items = manifest.experts.expert.map((_, row) => this.#item(row));
      root.querySelector("[data-count]").textContent = `${count(this.#items.length)} experts`;
      this.#select = root.querySelector("[data-sort]");
      this.#select.append(...Object.entries(SORTS).map(([name, { title }]) => make("option", { value: name }, title)));
      this.#select.addEventListener("change", () => atlas.route.set({ sort: this.#select.value }));
      const seen = new IntersectionObserver((entries) => entries.forEach((entry) => this.#seen(entry)), { rootMargin: "400px" });
      this.#items.forEach((item) => seen.observe(item));
      for (const [start, stop] of [["pointerover", "pointerout"], ["focusin", "focusout"]]) {
        this.#list.addEventListener(start, (event) => this.#turn(event.target.closest("li")));
        this.#list.addEventListener(stop, (event) => { if (!event.relatedTarget?.closest?.("li")) this.#turn(null); });
      }
      atlas.scheme.changes.addEventListener("change", () => this.#items.forEach((item) => item.inView && this.#paint(item)));
    }

    show(sort) {
      this.#select.value = known(sort);
      this.#list.replaceChildren(...order(this.#manifest.experts, sort).map((row) => this.#items[row]));
      for (const item of this.#items) item.firstChild.href = atlas.route.link({ expert: this.#manifest.experts.expert[item.row] });
    }

    focus(expert) {
      this.#items[this.#manifest.experts.expert.indexOf(expert)]?.firstChild.focus({ preventScroll: true });
    }

    #item(row) {
      const columns = this.#manifest.experts;
      const title = make("span", { class: "title" }, ...token(columns.title[row]));
      const link = make("a", { "aria-label": `Expert ${columns.expert[row]}: ${title.textContent}` },
        make("canvas", { ...SIZE, "aria-hidden": "true" }),
        make("span", { class: "name" }, make("b", {}, String(columns.expert[row])), " ", title));
      const item = make("li", {}, link, make("div", { class: "line" }));
      item.row = row;
      return item;
    }

    #line(row) {
      const columns = this.#manifest.experts;
      if (columns.silent[row]) return [];
      const figure = (name, share) => make("span", { title: `${name} ${percent(share)}` }, percent(share, { brief: true, sign: false }));
      return [this.#strip(row), figure("firing rate", columns.rate[row]), figure("importance", columns.importance[row])];
    }

    #strip(row) {
      const columns = this.#manifest.experts;
      if (columns.best_r2_all[row] === null) return make("span");
      const task = this.#manifest.tasks.find((one) => one.task === columns.best_task[row]);
      const hypothesis = task.hypotheses.find((one) => one.hypothesis === columns.best_hypothesis[row]);
      const result = { of: `${task.title}, ${hypothesis.title}`, value: columns.best_r2_all[row], low: columns.best_r2_all_low[row], high: columns.best_r2_all_high[row] };
      return atlas.strip(result, hypothesis.references, { width: STRIP });
    }

    async #seen({ target: item, isIntersecting }) {
      item.inView = isIntersecting;
      if (!isIntersecting) return this.#release(item);
      if (!item.lastChild.hasChildNodes()) item.lastChild.append(...this.#line(item.row));
      try {
        item.points ??= await this.#points(item.row);
        if (item.inView) this.#paint(item);
      } catch (error) { trouble(this.#root, error.message); }
    }

    // An off-screen canvas keeps its box and gives back its pixels.
    #release(item) {
      const canvas = item.querySelector("canvas");
      canvas.width = canvas.height = 0;
    }

    async #points(row) {
      const size = this.#manifest.shards.clouds;
      const shard = await load(`clouds/${Math.floor(row / size)}`);
      shard.decoded ??= { xyz: array(shard.xyz), label: array(shard.label), starts: starts(shard.points) };
      const { xyz, label, starts: from } = shard.decoded;
      const place = row % size;
      return Array.from({ length: shard.points[place] }, (_, index) => {
        const at = from[place] + index;
        return { x: xyz[3 * at] / 127, y: xyz[3 * at + 1] / 127, z: xyz[3 * at + 2] / 127, label: label[at] - 1 };
      });
    }

    #paint(item, view = atlas.cloud.VIEW) {
      const canvas = item.querySelector("canvas");
      const plain = getComputedStyle(canvas).color;
      const task = this.#manifest.tasks.find((one) => one.task === this.#manifest.experts.cloud_task[item.row]);
      const colours = task?.labels.colours[atlas.scheme.name()] ?? [];
      for (const point of item.points ?? []) point.colour = colours[point.label] ?? plain;
      const pen = atlas.cloud.prepare(canvas, SIZE.width, SIZE.height);
      atlas.cloud.dots(pen, item.points ?? [], view, { scale: fitted(item.points ?? []), radius: 1.6 });
    }

    #turn(item) {
      if (item === this.#turning) return;
      const before = this.#turning;
      this.#turning = item;
      if (before?.inView) this.#paint(before);
      if (!item || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
      const start = performance.now();
      const frame = (now) => {
        if (this.#turning !== item || !item.isConnected) return;
        this.#paint(item, { ...atlas.cloud.VIEW, yaw: atlas.cloud.VIEW.yaw + TURN * Math.max(0, now - start) / 1000 });
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
    }
  }

  // The largest scale at which a cloud stays in its picture while it turns about the upright axis.
  function fitted(points) {
    const tilt = [Math.cos(atlas.cloud.VIEW.pitch), Math.sin(atlas.cloud.VIEW.pitch)];
    const wide = Math.max(0.1, ...points.map(({ x, z }) => Math.hypot(x, z)));
    const high = Math.max(0.1, ...points.map(({ x, y, z }) => Math.abs(y) * tilt[0] + Math.hypot(x, z) * tilt[1]));
    return Math.min((SIZE.width / 2 - 5) / wide, (SIZE.height / 2 - 5) / high);
  }

  function starts(counts) {
    let total = 0;
    return counts.map((number) => (total += number) - number);
  }

  atlas.list = { List, order };
})();
