"use strict";
// Above the list: how many experts there are, what narrows them, each with a button that takes it back, and what a search may have meant.
// Where none is left, in the list's place: what to relax.
(() => {
  const { make, count, spelled, token } = atlas.words;
  const { route } = atlas;
  const { folded } = atlas.search;
  const BEGUN = 3;   // letters, below which a word of a name must be met whole
  const MEANT = 3;   // tasks and hypotheses that are offered
  const MADE = "[data-chips], [data-suggestions], [data-empty], [data-reset-all]";   // buttons that go once they are used

  const UNFILTERED = Object.fromEntries(route.FOUND.filter((key) => key !== "sort").map((key) => [key, route.DEFAULTS[key]]));
  const reset = () => route.set(UNFILTERED);
  const fire = (number) => (number === 1 ? "1 expert fires on it" : `${count(number)} experts fire on it`);

  class Narrowed {
    #root; #finder; #tasks; #shown;

    constructor(root, manifest, finder) {
      this.#root = root;
      this.#finder = finder;
      this.#tasks = manifest.tasks.filter(({ labels }) => labels.name.length);
      this.#part("reset-all").addEventListener("click", reset);
      this.#part("narrowed").hidden = false;
      // The counts in the summary lead to those experts, whatever else is filtered by.
      this.#shown = [...root.querySelectorAll("[data-shows]")].map((link) => ({ link, filter: JSON.parse(link.dataset.shows) }));
    }

    show(state, found) {
      // The keyboard must not lose its place with a button that goes.
      const held = document.activeElement?.closest(MADE);
      const at = held ? [...held.querySelectorAll("button, a")].indexOf(document.activeElement) : -1;
      const { filters, rows, relaxed } = found;
      const chips = filters.flatMap((filter) => filter.chips ?? [filter]);
      this.#part("count").textContent = atlas.query.told(rows.length, this.#finder.all);
      this.#part("chips").replaceChildren(...chips.map((chip) => make("li", {}, removing(chip))));
      this.#part("reset-all").hidden = chips.length === 0;
      this.#part("drawer").textContent = chips.length ? `Filters · ${chips.length}` : "Filters";
      this.#part("close").textContent = rows.length === 1 ? "Show 1 expert" : `Show ${count(rows.length)} experts`;
      const isEmpty = rows.length === 0 && filters.length > 0;
      this.#suggest(state, found, isEmpty);
      this.#empty(found, isEmpty);
      this.look();
      if (held && !(document.activeElement?.closest(MADE) && document.activeElement.checkVisibility())) this.#land(at);
    }

    // Links lead on with what is looked at now.
    look() {
      for (const { link, filter } of this.#shown) link.href = route.link({ ...UNFILTERED, ...filter });
      for (const link of this.#part("suggestions").querySelectorAll("a")) link.href = route.link({ token: link.dataset.token });
    }

    #land(at) {
      const left = this.#part("chips").querySelectorAll("button");
      (left[Math.min(Math.max(at, 0), left.length - 1)] ?? this.#part("count")).focus();
    }

    #part(name) { return this.#root.querySelector(`[data-${name}]`); }

    #suggest(state, { matches, tokens = [] }, isEmpty) {
      this.#part("narrowed").classList.toggle("asked", state.q !== "");
      const meant = this.#finder.suggested(state.q).filter(({ name, task }) => !state.label.includes(name) && this.#finder.knows(task));
      this.#part("suggestions").replaceChildren(
        ...this.#named(state), ...meant.map((label) => this.#label(state, label)),
        ...tokens.map(tokenLink),
        ...(matches?.common.length && !isEmpty ? [make("p", { class: "note" }, `${listed(matches.common)}: in too many contexts to look for there.`)] : []));
    }

    // Tasks and hypotheses that have a word which the query begins or is.
    #named({ q, task: chosen, hypothesis: read }) {
      const wanted = folded(q);
      if (!wanted) return [];
      const isMeant = (title) => ` ${folded(title)} `.includes(wanted.length < BEGUN ? ` ${wanted} ` : ` ${wanted}`);
      const tasks = this.#tasks.filter(({ name, title }) => name !== chosen && isMeant(title)).map((task) => this.#task(task));
      const hypotheses = this.#tasks.flatMap((task) => task.hypotheses.map(({ hypothesis, title }) => ({ task, title, value: `${task.name}:${hypothesis}` })))
        .filter(({ title, value }) => value !== read && isMeant(title))
        .map(({ task, title, value }) => button([...token(title), ` is a hypothesis of ${task.title}`], () => route.set({ q: "", task: chosen === task.name ? chosen : null, hypothesis: value })));
      return [...tasks, ...hypotheses].slice(0, MEANT);
    }

    // A claim about one task says nothing of another's hypothesis.
    #task(task) {
      let about = 0;
      for (let row = 0; row < this.#finder.all; row += 1) if (this.#finder.isAbout(row, task.task)) about += 1;
      const { hypothesis } = route.state;
      return button([...token(task.title), ` is a task: ${about === 1 ? "1 expert has a claim" : `${count(about)} experts have a claim`} about it`], () => route.set({ q: "", task: task.name, hypothesis: hypothesis?.startsWith(`${task.name}:`) ? hypothesis : null }));
    }

    #label(state, { name, title, task, at }) {
      let firing = 0;
      this.#finder.firing({ task, at }, state.fires, () => { firing += 1; });
      return button([...token(title), ` is a label of ${task.title}: ${fire(firing)}`], () => route.set({ q: "", label: [...state.label, name] }));
    }

    #empty({ filters, relaxed, matches }, isEmpty) {
      this.#part("empty").hidden = !isEmpty;
      if (!isEmpty) return;
      const several = ["this filter", "both filters"][filters.length - 1] ?? `all ${filters.length} filters`;
      const ways = relaxed.map(({ text, left, without }) => button(token(`Without ${text}: ${count(left)}`), () => route.set(without)));
      this.#part("empty").replaceChildren(
        make("p", {}, `No expert passes ${several}.${ways.length || filters.length < 2 ? "" : " To leave out one of them is not enough."}`),
        ...(matches?.common.length ? [make("p", { class: "note" }, `${listed(matches.common)}: in too many contexts to look for there; only tokens, titles and numbers were searched.`)] : []),
        ...ways, ...(ways.length ? [] : [button("Reset", reset)]));
    }
  }

  const listed = (words) => words.map((word) => `“${word}”`).join(" and ");

  // The first in a sentence; of others only the number is seen, and the sentence read out.
  function tokenLink({ text, experts }, at) {
    const link = make("a", { "data-token": text }, "“", ...token(text), "”");
    if (at === 0) link.append(` is a token: ${fire(experts)}`);
    else link.append(make("span", { class: "spoken" }, " is a token:"), ` ${count(experts)}`, make("span", { class: "spoken" }, fire(experts).replace(/^\S+/, "")));
    return link;
  }

  function button(text, act) {
    const made = make("button", { type: "button" }, ...[text].flat());
    made.addEventListener("click", act);
    return made;
  }

  function removing({ text, without }) {
    const made = button([...token(text), make("span", { "aria-hidden": "true" }, "\u00a0×")], () => route.set(without));
    made.setAttribute("aria-label", spelled(`Remove filter: ${text}`));
    return made;
  }

  atlas.narrowed = { Narrowed, reset };
})();
