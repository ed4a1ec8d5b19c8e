"use strict";
// Two experts side by side: their clouds under one camera and one colouring, what is known of both, how near they are, their contexts.
(() => {
  const { make, aligned, count, interval, number, percent, quoting, say } = atlas.words;
  const { table } = atlas.tables;
  const { term } = atlas.definitions;
  const { known } = atlas.facts;
  const { route } = atlas;
  const SIDES = ["left", "right"];
  const CONTEXTS = 8;
  const AROUND = 12;   // tokens to each side
  const KINDS = {
    output: ["output", "What they write overlaps"], encoder: ["encoder", "What they read overlaps"],
    co_firing: ["log-odds", "Log odds ratio of firing together"], context: ["context", "Likeness of the words around their firings"],
  };

  class Page {
    #root; #manifest; #finder; #facts; #opening; #lent; #own = null; #records = null;

    // lent: the stage of the expert's page, which stands on the left here; the one on the right is made once.
    constructor(root, manifest, { finder, classes, lent }) {
      [this.#root, this.#manifest, this.#finder, this.#lent] = [root, manifest, finder, lent];
      this.#opening = new atlas.opening.Opening(root);
      this.#facts = new atlas.facts.Facts(manifest, classes);
      this.#part("choose").addEventListener("submit", (event) => {
        event.preventDefault();
        const { left, right } = event.target.elements;
        if (left.value !== "" && right.value !== "") this.#go([Number(left.value), Number(right.value)]);
      });
      this.#part("swap").addEventListener("click", () => this.#go(route.state.beside.toReversed()));
    }

    async show(state, { arrived }) {
      const pair = state.beside;
      const rows = pair.map((expert) => this.#finder.row(expert));
      this.#head(pair);
      if (arrived) { scrollTo(0, 0); this.#root.querySelector("[data-heading]").focus({ preventScroll: true }); }
      const missing = pair.filter((_, at) => rows[at] < 0);
      if (missing.length) return this.#opening.none(`This atlas has no expert ${[...new Set(missing)].join(" and no expert ")}. Give the numbers of two that it has.`);
      const read = () => Promise.all(rows.map((row) => atlas.records.open(this.#manifest, row)));
      if (!await this.#opening.open(pair.join(), read, (records) => this.#fill(records))) return;
      const looks = { ...state, colour: this.#colour(state) };
      this.#say(looks);
      await this.#opening.shown(Promise.all(this.#stages().map((stage, side) => stage.show(this.#records[side], looks, this.#records[1 - side]))));
    }

    leave() { this.#opening.leave(); }

    #part(name) { return this.#root.querySelector(`[data-beside-${name}]`); }

    // What both are coloured by: what is asked for, else the left one's own source or the right one's, if both have points of it.
    #colour({ colour }) {
      if (atlas.colouring.read(this.#manifest, colour).task) return colour;
      const [left, right] = this.#records.map(({ sources }) => sources);
      const common = left.filter((task) => right.includes(task));
      const own = this.#records.map((record) => record.field("cloud_task"));
      return (common.find(({ task }) => task === own[0]) ?? common.find(({ task }) => task === own[1]) ?? common[0])?.name ?? null;
    }

    #say({ colour }) {
      const silent = this.#records.filter(({ sources }) => !sources.length).map(({ expert }) => `Expert ${expert} has no points to draw.`);
      const together = "They turn together. Each lies on its own principal axes: what an axis is on the left has nothing to do with it on the right. Each is drawn to fill its place; its caption says how large it is.";
      say(this.#part("alike"), silent.length ? silent.join(" ") : `${this.#alike(colour)} ${together}`);
    }

    // Whether a colour means the same on both sides.
    #alike(colour) {
      const { task, way } = atlas.colouring.read(this.#manifest, colour);
      if (!task) return "They have points of no source in common, so that each is shown on its own.";
      const lacking = this.#records.filter(({ sources }) => !sources.includes(task)).map(({ expert }) => expert);
      if (lacking.length) return `Expert ${lacking.join(" and expert ")} has no points on ${task.title}, and is shown on a source of its own.`;
      return way === "band" ? "Both are coloured alike, but quarters are of each one’s own norms." : "Both are coloured alike.";
    }

    // Other experts, looked at as these are.
    #go(pair) {
      const { colour, seen, camera, flat, join } = route.state;
      route.set({ beside: pair, colour, seen, camera, flat, join });
    }

    #head(pair) {
      this.#root.querySelector("[data-heading]").textContent = `Experts ${pair[0]} and ${pair[1]}`;
      SIDES.forEach((side, at) => { this.#part("choose").elements[side].value = pair[at]; });
    }

    #stages() {
      const slots = SIDES.map((side) => this.#root.querySelector(`[data-beside="${side}"] [data-slot]`));
      if (!this.#own) {
        slots[1].append(this.#root.querySelector("[data-second]").content.cloneNode(true));
        this.#own = new atlas.stage.Stage(slots[1].querySelector("[data-stage]"), this.#manifest, () => {});
      }
      if (this.#lent.element.parentElement !== slots[0]) slots[0].replaceChildren(this.#lent.element);
      this.#lent.turnWith(this.#own, "left");
      this.#own.turnWith(this.#lent, "right");
      return [this.#lent, this.#own];
    }

    #fill(records) {
      this.#records = records;
      SIDES.forEach((side, at) => this.#root.querySelector(`[data-beside="${side}"] h3`).replaceChildren(this.#named(at)));
      const heads = ["", ...this.#records.map(({ expert }) => `Expert ${expert}`)];
      this.#part("facts").replaceChildren(table(heads, this.#rows().map(([name, says]) => make("tr", {}, make("th", { scope: "row" }, name), ...this.#records.map(({ row }) => make("td", {}, ...[says(row)].flat()))))));
      this.#part("near").replaceChildren(table(["", "Value"], Object.entries(KINDS).map(([kind, [of, name]]) => make("tr", {}, make("th", { scope: "row" }, term(of, name)), make("td", {}, this.#near(kind))))));
      SIDES.forEach((side, at) => this.#root.querySelector(`[data-beside-contexts="${side}"]`).replaceChildren(...contexts(this.#records[at])));
    }

    #named(side) {
      const { row, expert } = this.#records[side];
      return make("a", route.way({ expert }), make("b", {}, String(expert)), " ", make("bdi", {}, ...quoting(this.#facts.title(row))));
    }

    // What is known of each: a name, and what it says of a row.
    #rows() {
      const facts = this.#facts;
      const one = (name, told) => (row) => (known(facts.of(name, row)) ? told(facts.of(name, row)) : "–");
      return [
        ["Activity", (row) => facts.activity(row)],
        [term("importance", "Importance"), one("importance", percent)],
        [term("rate", "Firing rate"), one("rate", percent)],
        [term("norm", "Mean norm"), one("mean_norm", number)],
        [term("shape classes", "Shape"), (row) => facts.shape(row) ?? "no claim"],
        [term("order supported", "Orders supported"), (row) => facts.orders(row).map(({ title }) => title).join(", ") || "none"],
        [term("all-row r²", "Best score"), (row) => this.#best(row)],
        [term("effective dimension", "Effective dimension"), one("effective_dimension", number)],
        [term("dimensions needed", "Dimensions needed"), one("dimensions_needed", count)],
      ];
    }

    #best(row) {
      const facts = this.#facts;
      const value = facts.of("best_all_rows", row);
      if (!known(value)) return "–";
      const { task, hypothesis } = facts.read({ task: facts.of("best_task", row), hypothesis: facts.of("best_hypothesis", row) });
      return [interval(value, facts.of("best_all_rows_low", row), facts.of("best_all_rows_high", row)), make("span", { class: "about-it" }, `${task.title}: ${hypothesis.title}`)];
    }

    // What either says of the other; a neighbour is listed among the twenty nearest, or not at all.
    #near(kind) {
      const [left, right] = this.#records;
      if (left === right || left.row === right.row) return "the same expert";
      for (const [one, other] of [[left, right], [right, left]]) {
        const { row, value } = one.data.neighbours[kind];
        const at = row?.indexOf(other.row) ?? -1;
        if (at >= 0) return `${aligned(value[at])} (number ${at + 1} among the nearest of expert ${one.expert})`;
      }
      const without = [left, right].find(({ data }) => data.neighbours[kind].absent);
      return without ? `Expert ${without.expert}: ${without.data.neighbours[kind].absent}` : "not among the twenty nearest of either";
    }
  }

  // Of the first corpus on which it fires.
  function contexts(record) {
    const top = record.data.corpora[0]?.contexts.find(({ stratum }) => stratum === "top");
    if (!top) return [make("p", { class: "note" }, "It fires on no corpus.")];
    const most = Math.max(...top.norm);
    const line = (norm, at) => make("li", {}, make("span", { class: "norm" }, aligned(norm)),
      atlas.contexts.line(atlas.contexts.split(top.tokens[at].map((index) => record.texts[index]), AROUND, top.around ? Array.from(top.around[at], Number) : null), norm / most));
    return [make("ol", { "aria-label": `Strongest contexts of expert ${record.expert}` }, ...top.norm.slice(0, CONTEXTS).map(line))];
  }

  atlas.beside = { Page };
})();
