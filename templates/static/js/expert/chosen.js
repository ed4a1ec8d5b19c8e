"use strict";
// The points that a reader holds on to: the pinned one, and those that an area was drawn round.
(() => {
  const { make, count, counted, number, aligned, token } = atlas.words;
  const AT_FIRST = 10;
  const MORE = 50;
  const COMMON = 5;   // labels or tokens that most of the chosen points have

  // What is said of a point beside its context; `more` is what its colour says besides.
  function facts(points, at, more = []) {
    const [position, document, template, importance] = [points.position(at), points.document(at), points.template(at), points.importance(at)];
    const { task } = points;
    return [
      ...(points.isLabelled ? [task.labels.name[points.label(at)], ...(task.has_text ? [] : [`row ${count(points.row(at))}`])] : []),
      ...more,
      `norm ${number(points.norm(at))}`,
      ...(Number.isNaN(importance) ? [] : [`importance ${number(importance)}`]),
      ...(Number.isNaN(position) || !task.has_text ? [] : [`position ${count(position)}`]),
      ...(Number.isNaN(document) ? [] : [`document ${document}`]),
      ...(Number.isNaN(template) ? [] : [`template ${template}`]),
    ];
  }

  function context(points, at) {
    const found = points.context(at);
    return found ? [atlas.contexts.line(found, 1)] : [];
  }

  function showPinned(root, points, at, unpin) {
    root.hidden = at === null;
    if (at === null) return root.replaceChildren();
    const button = make("button", { type: "button", class: "quiet" }, "Unpin");
    button.addEventListener("click", unpin);
    root.replaceChildren(make("p", { class: "held" }, make("b", {}, "Pinned"), ` ${facts(points, at).join(" · ")} `, button), ...context(points, at));
  }

  // What most of them have: a label each, or on a corpus a token.
  function common(points, indices) {
    const of = (at) => (points.isLabelled ? points.task.labels.name[points.label(at)] : points.context(at).firing);
    const counts = new Map();
    for (const at of indices) counts.set(of(at), (counts.get(of(at)) ?? 0) + 1);
    const most = [...counts].sort((one, other) => other[1] - one[1]);
    const named = most.slice(0, COMMON).flatMap(([text, times], at) => [at ? ", " : "", make("b", {}, ...token(text)), ` ${count(times)}`]);
    const rest = most.length - COMMON;
    const what = points.isLabelled ? "labels" : "tokens";
    return make("p", { class: "note" }, ...named, ...(rest > 0 ? [`, and ${count(rest)} more ${what}`] : []), ".");
  }

  // The contexts of what was chosen, the strongest first.
  class Chosen {
    #root; #points = null; #indices = null; #order = []; #list; #shown = 0;

    constructor(root) { this.#root = root; }

    // The same points again leave the list as the reader has it.
    show(points, indices, { clear, pin }) {
      if (points === this.#points && indices === this.#indices) return;
      [this.#points, this.#indices] = [points, indices];
      this.#root.hidden = indices.length === 0;
      if (this.#root.hidden) return this.#root.replaceChildren();
      this.#order = [...indices].sort((one, other) => points.norm(other) - points.norm(one));
      this.#list = make("ol");
      this.#list.addEventListener("click", ({ target }) => { const button = target.closest("button"); if (button) pin(Number(button.dataset.at)); });
      this.#shown = 0;
      const clearing = make("button", { type: "button", class: "quiet" }, "Clear");
      clearing.addEventListener("click", clear);
      const more = make("button", { type: "button" });
      more.addEventListener("click", () => this.#more(more, MORE));
      const said = `${count(indices.length)} of ${counted(points.count, "point")} selected`;
      this.#root.replaceChildren(make("p", { class: "held", role: "status" }, make("b", {}, said), " ", clearing), common(points, indices), make("div", { class: "contexts" }, this.#list), more);
      this.#more(more, AT_FIRST);
    }

    #more(button, amount) {
      const next = this.#order.slice(this.#shown, this.#shown + amount);
      this.#shown += next.length;
      this.#list.append(...next.map((at) => this.#item(at)));
      const left = this.#order.length - this.#shown;
      button.hidden = left === 0;
      button.textContent = `${count(Math.min(MORE, left))} more of ${count(left)}`;
    }

    #item(at) {
      const points = this.#points;
      const label = points.isLabelled ? points.task.labels.name[points.label(at)] : null;
      const norm = aligned(points.norm(at));
      const name = `Pin the point of norm ${norm}${label === null ? "" : `, ${label}`}`;
      const button = make("button", { type: "button", class: "quiet norm", "data-at": at, "aria-label": name, title: "Pin" }, norm);
      return make("li", {}, button, ...(points.task.has_text ? context(points, at) : [label]));
    }
  }

  atlas.chosen = { Chosen, facts, context, showPinned };
})();
