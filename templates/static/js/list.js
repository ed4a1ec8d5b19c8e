"use strict";
// The list of experts. All its rows come to stand in the page, so that find-in-page works: some at once, the others while
// nothing else is to be done. Clouds are drawn when they come into view.
(() => {
  const { make, number, percent, token, trouble } = atlas.words;
  const TURN = 0.5;   // radians a second
  const STRIP = 68;
  const AT_ONCE = 400;   // rows: some screens, laid out in some tens of ms
  const idle = globalThis.requestIdleCallback ?? ((act) => setTimeout(act, 50));   // Safari has none

  class List {
    #root; #manifest; #classes; #items; #list; #seen; #shown = null; #turning = null;

    // classes: of shapes, or null.
    constructor(root, manifest, classes) {
      this.#root = root;
      this.#manifest = manifest;
      this.#classes = classes;
      this.#list = root.querySelector("[data-experts]");
      this.#items = manifest.experts.expert.map(() => null);
      this.#seen = new IntersectionObserver((entries) => entries.forEach((entry) => this.#see(entry)), { rootMargin: "400px" });
      for (const [start, stop] of [["pointerover", "pointerout"], ["focusin", "focusout"]]) {
        this.#list.addEventListener(start, (event) => this.#turn(event.target.closest("li")));
        this.#list.addEventListener(stop, (event) => { if (!event.relatedTarget?.closest?.("li")) this.#turn(null); });
      }
      atlas.scheme.changes.addEventListener("change", () => this.#items.forEach((item) => item?.inView && this.#paint(item)));
    }

    // rows in order; best(row) is a row's score, and reason(row) what it was found by, or null.
    show({ rows, best, reason }) {
      const [before, after] = atlas.route.around();
      const some = (from) => rows.slice(from, from + AT_ONCE).map((row) => {
        const item = (this.#items[row] ??= this.#item(row));
        item.querySelector("a").href = `${before}${this.#manifest.experts.expert[row]}${after}`;
        item.querySelector(".reason").replaceChildren(...said(reason(row)));
        this.#rate(item, best(row));
        return item;
      });
      const add = (from) => idle(() => {
        if (this.#shown !== rows) return;   // another query came meanwhile
        this.#list.append(...some(from));
        if (from + AT_ONCE < rows.length) add(from + AT_ONCE);
      });
      this.#shown = rows;
      this.#list.replaceChildren(...some(0));
      if (rows.length > AT_ONCE) add(AT_ONCE);
    }

    focus(expert) {
      this.#items[this.#manifest.experts.expert.indexOf(expert)]?.querySelector("a").focus({ preventScroll: true });
    }

    #item(row) {
      const columns = this.#manifest.experts;
      const title = make("span", { class: "title" }, ...token(columns.title[row]));
      const rests = columns.silent[row] ? [] : [" ", make("span", { class: "rests" }, `(${columns.measure[row]} ${number(columns.value[row])})`)];
      const link = make("a", { "aria-label": `Expert ${columns.expert[row]}: ${title.textContent}` },
        make("canvas", { ...atlas.cloud.PICTURE, "aria-hidden": "true" }),
        make("span", { class: "name", title: `${title.textContent}${rests.at(-1) ? ` ${rests.at(-1).textContent}` : ""}` }, make("b", {}, String(columns.expert[row])), " ", title, ...rests));
      const item = make("li", {}, link, make("div", { class: "reason" }), make("div", { class: "line" }), make("div", { class: "whose" }));
      const shown = this.#task(columns.cloud_task[row]);
      if (shown?.labels.name.length) item.append(make("span", { class: "by", title: `The cloud is coloured by ${shown.title}` }, shown.title));
      const shape = this.#classes?.claimed(row);
      if (shape) item.append(make("span", { class: "shape", title: "The shape of its cloud" }, shape));
      item.row = row;
      this.#seen.observe(item);
      return item;
    }

    #task(number) { return this.#manifest.tasks.find(({ task }) => task === number); }

    // Another task's score takes the place of the one that is shown, once the row is seen.
    #rate(item, best) {
      if (item.best?.task === best?.task && item.best?.hypothesis === best?.hypothesis) return;
      item.best = best;
      item.querySelector(".line").replaceChildren();
      if (item.inView) this.#measure(item);
    }

    #measure(item) {
      const columns = this.#manifest.experts;
      const row = item.row;
      if (columns.silent[row]) return;
      const figure = (name, share) => make("span", { title: `${name} ${percent(share)}` }, percent(share, { brief: true, sign: false }));
      item.querySelector(".line").append(this.#strip(item.best, item.querySelector(".whose")), figure("firing rate", columns.rate[row]), figure("importance", columns.importance[row]));
    }

    #strip(best, whose) {
      const task = best && this.#task(best.task);
      const hypothesis = task?.hypotheses.find((one) => one.hypothesis === best.hypothesis);
      whose.replaceChildren(...(best ? [make("span", {}, task.title), make("span", {}, `: ${hypothesis.title}`)] : []));
      whose.title = best ? `The score is of ${task.title}, ${hypothesis.title}` : "";
      return best ? atlas.strip({ of: `${task.title}, ${hypothesis.title}`, measure: hypothesis.measure, ...best }, hypothesis.references, { width: STRIP }) : make("span");
    }

    async #see({ target: item, isIntersecting }) {
      item.inView = isIntersecting;
      if (!isIntersecting) return this.#release(item);
      if (!item.querySelector(".line").hasChildNodes()) this.#measure(item);
      try {
        item.points ??= await atlas.cloud.small(this.#manifest, item.row);
        if (item.inView) this.#paint(item);
      } catch (error) { trouble(this.#root, error.message); }
    }

    // An off-screen canvas keeps its box and gives back its pixels.
    #release(item) {
      const canvas = item.querySelector("canvas");
      canvas.width = canvas.height = 0;
    }

    #paint(item, yaw = 0) {
      const colours = this.#task(this.#manifest.experts.cloud_task[item.row])?.labels.colours[atlas.scheme.name()] ?? [];
      atlas.cloud.picture(item.querySelector("canvas"), item.points ?? [], colours, yaw);
    }

    #turn(item) {
      if (item === this.#turning) return;
      const before = this.#turning;
      this.#turning = item;
      if (before?.inView) this.#paint(before);
      if (!item || atlas.cloud.isFlat(item.points ?? []) || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
      const start = performance.now();
      const frame = (now) => {
        if (this.#turning !== item || !item.isConnected) return;
        this.#paint(item, TURN * Math.max(0, now - start) / 1000);
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
    }
  }

  function said(reason) {
    if (reason?.title) return [make("span", { class: "found" }, ...token(reason.title)), make("span", {}, `: ${percent(reason.fires)}, lift ${number(reason.lift)}`)];
    if (reason?.token) return [`${percent(reason.share)} of firings on “`, ...token(reason.token), "”"];
    if (reason?.shapes) return [reason.shapes.map(({ name, titles }) => `${name} on ${titles.join(", ")}`).join("; ")];
    return [];
  }

  atlas.list = { List };
})();
