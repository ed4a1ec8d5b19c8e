"use strict";
// The controls that narrow the list: what they are set to goes into the address, and the address sets them.
(() => {
  const { make, count, number, percent, token } = atlas.words;
  const { route } = atlas;
  const PAUSE = 150;   // ms without a key before a search is made
  const STOPS = 60;    // of a slider on a logarithmic axis
  const NARROW = matchMedia("(max-width: 1079px)");
  const NAMED = 20;    // labels that a column of names can hold
  const DRAWN = "[data-chips], [data-suggestions], [data-empty]";   // buttons that are made anew with each view

  class Facets {
    #root; #manifest; #finder; #classes; #query; #form; #boxes = new Map(); #typing = null; #axes;

    // classes: of shapes, or null.
    constructor(root, manifest, finder, classes) {
      this.#root = root;
      this.#manifest = manifest;
      this.#finder = finder;
      this.#classes = classes;
      this.#form = root.querySelector("[data-facets]");
      this.#query = root.querySelector("[data-query]");
      this.#axes = axes(manifest.experts);
      this.#tasks();
      this.#labels();
      this.#kinds();
      this.#sliders();
      this.#search();
      this.#drawer();
      this.#form.hidden = root.querySelector("[data-search]").hidden = false;
      this.#form.addEventListener("submit", (event) => event.preventDefault());
      this.#form.addEventListener("change", ({ target }) => this.#changed(target));
      this.#form.addEventListener("input", ({ target }) => { if (target.type === "range") this.#slid(target); });
    }

    // --- the address ► the controls ---

    show(state) {
      if (this.#typing === null) this.#query.value = state.q;
      this.#check("task", state.task ?? "");
      this.#check("mode", state.mode);
      this.#form.elements.order.checked = state.order;
      for (const [name, { box, details }] of this.#boxes) {
        box.checked = state.label.includes(name);
        if (box.checked) details.open = true;
      }
      for (const box of this.#form.querySelectorAll("[name=shape]")) box.checked = state.shape.includes(box.value);
      for (const [key, axis] of Object.entries(this.#axes)) {
        this.#form.elements[key].value = axis.stop(state[key]);
        this.#say(key, state[key]);
      }
      this.#form.elements.fires.value = state.fires;
      this.#say("fires", state.fires);
      this.#amounts(state);
    }

    #check(name, value) {
      for (const radio of this.#form.querySelectorAll(`[name="${name}"]`)) radio.checked = radio.value === value;
    }

    #say(key, value) {
      const said = value === null ? "any" : key === "score" ? number(value) : percent(value);
      this.#root.querySelector(`[data-value="${key}"]`).textContent = said;
      this.#form.elements[key].setAttribute("aria-valuetext", said);
    }

    // How many experts each label would leave, for the labels that are in sight.
    #amounts(state) {
      for (const { label, amount, details } of this.#boxes.values()) {
        if (details.open && this.#finder.knows(label.task)) amount.textContent = count(this.#finder.firing(label, state.fires).size);
      }
    }

    // --- the controls ► the address ---

    #changed({ name, value, checked, type }) {
      if (type === "range") return;
      if (name === "order") route.set({ order: checked });
      else if (name === "task") route.set({ task: value || null });
      else if (name === "mode") route.set({ mode: value });
      else if (name === "label" || name === "shape") {
        const others = route.state[name].filter((one) => one !== value);
        route.set({ [name]: checked ? [...others, value] : others });
      }
    }

    #slid({ name, value }) {
      const wanted = name === "fires" ? Number(value) : this.#axes[name].value(Number(value));
      this.#say(name, wanted);
      route.set({ [name]: wanted }, name);
    }

    #search() {
      const search = () => {
        clearTimeout(this.#typing);
        this.#typing = null;
        if (this.#query.value !== route.state.q || route.state.expert !== null || route.state.fidelity) route.set({ q: this.#query.value, expert: null }, "q");
      };
      this.#query.addEventListener("input", () => {
        clearTimeout(this.#typing);
        this.#typing = setTimeout(search, PAUSE);
      });
      this.#query.addEventListener("keydown", (event) => {
        if (event.key === "Enter") search();
        if (event.key !== "Escape" || event.isComposing || !this.#query.value) return;
        event.preventDefault();
        this.#query.value = "";
        search();
      });
      document.addEventListener("keydown", (event) => {
        const writes = event.target.closest?.("input:not([type=checkbox], [type=radio], [type=range]), select, textarea");
        if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || writes) return;
        event.preventDefault();
        this.#query.select();
        this.#query.focus();
      });
    }

    // --- building ---

    #tasks() {
      const { title_task: titled, orders } = this.#manifest.experts;
      const labelled = this.#manifest.tasks.filter(({ labels }) => labels.name.length);
      const about = (task) => titled.filter((one, row) => one === task.task || orders[row].includes(task.task)).length;
      const choice = (value, text, amount) => make("label", { class: "choice" }, make("input", { type: "radio", name: "task", value }), " ", make("span", {}, text), " ", make("span", { class: "amount" }, amount));
      this.#root.querySelector("[data-tasks]").append(choice("", "all experts", count(this.#finder.all)), ...labelled.map((task) => choice(task.name, task.title, count(about(task)))));
      this.#root.querySelector("[data-orders]").textContent = count(orders.filter((tasks) => tasks.length).length);
      this.#root.querySelector('[data-facet="task"]').hidden = this.#root.querySelector('[data-facet="label"]').hidden = !labelled.length;
    }

    #labels() {
      const place = this.#root.querySelector("[data-labels-of]");
      for (const task of this.#manifest.tasks.filter(({ labels }) => labels.name.length)) {
        const details = make("details", {}, make("summary", {}, task.title));
        const many = task.labels.name.length > NAMED;
        details.append(make("div", { class: many ? "label-list many" : "label-list" }, ...task.labels.name.map((title, at) => {
          const box = make("input", { type: "checkbox", name: "label", value: `${task.name}:${title}` });
          const amount = make("span", { class: "amount" });
          this.#boxes.set(box.value, { box, amount, details, label: { task, at } });
          return make("label", { class: "choice" }, box, " ", make("span", {}, swatch(task, at), make("span", {}, ...token(title))), " ", amount);
        })));
        details.addEventListener("toggle", async () => {
          if (!details.open) return;
          try {
            await this.#finder.loadLabels(task);
            this.#amounts(route.state);
          } catch (error) { atlas.words.trouble(this.#root, error.message); }
        });
        place.append(details);
      }
    }

    #kinds() {
      this.#root.querySelector('[data-facet="shape"]').hidden = this.#classes === null;
      const place = this.#root.querySelector("[data-classes]");
      this.#classes?.names.forEach((name, at) => {
        const chance = this.#classes.isClaim(name) ? [make("span", { class: "chance" }, `expected by chance: ${this.#classes.expected[at]}`)] : [];
        place.append(make("label", { class: "choice" }, make("input", { type: "checkbox", name: "shape", value: name }), " ", make("span", {}, name, ...chance), " ", make("span", { class: "amount" }, count(this.#classes.count(name)))));
      });
    }

    #sliders() {
      for (const [key, axis] of Object.entries(this.#axes)) Object.assign(this.#form.elements[key], { min: 0, max: axis.stops, step: 1 });
    }

    // Where the page is narrow, the filters are a drawer from below; Escape and a touch beside it close it.
    #drawer() {
      const fit = () => {
        if (NARROW.matches) this.#form.setAttribute("popover", "auto"); else this.#form.removeAttribute("popover");
      };
      NARROW.addEventListener("change", fit);
      fit();
      // The touch that closes it is no touch of what lies below.
      const button = this.#root.querySelector("[data-drawer]");
      let open = false;
      document.addEventListener("pointerdown", () => { open = this.#form.matches(":popover-open"); }, true);
      document.addEventListener("click", (event) => {
        if (open && event.detail > 0 && !this.#form.contains(event.target) && event.target !== button) event.preventDefault();
      }, true);
    }
  }

  function swatch(task, at) {
    const mark = make("span", { class: "swatch" });
    mark.style.setProperty("--light", task.labels.colours.light[at]);
    mark.style.setProperty("--dark", task.labels.colours.dark[at]);
    return mark;
  }

  // The places of sliders: a number at each stop, null at the end that lets everything pass.
  function axes({ importance, rate }) {
    const short = (value) => Number(value.toPrecision(2));
    const least = (value, stops, stop) => ({ stops, value: (at) => (at === 0 ? null : value(at)), stop: (share) => (share === null ? 0 : Math.max(1, stop(share))) });
    function logarithmic(column) {
      const seen = column.filter((value) => value > 0);
      const [low, high] = [seen.reduce((one, other) => Math.min(one, other), 1), seen.reduce((one, other) => Math.max(one, other), 0) || 1];
      const span = Math.log(high / low) || 1;
      return {
        value: (at) => short(low * Math.exp(span * (at - 1) / (STOPS - 1))),
        stop: (share) => Math.round(1 + (STOPS - 1) * Math.min(1, Math.max(0, Math.log(share / low) / span))),
      };
    }
    const [weight, often] = [logarithmic(importance), logarithmic(rate)];
    return {
      score: least((at) => at / 20, 19, (share) => Math.round(20 * share)),
      importance: least(weight.value, STOPS, weight.stop),
      rate_min: least(often.value, STOPS, often.stop),
      rate_max: { stops: STOPS, value: (at) => (at === STOPS ? null : often.value(Math.max(1, at))), stop: (share) => (share === null ? STOPS : Math.min(STOPS - 1, often.stop(share))) },
    };
  }

  // Above the list: what narrows it, each with a button that takes it back; and labels that the search may have meant.
  class Summary {
    #root; #finder; #select;

    constructor(root, finder) {
      this.#root = root;
      this.#finder = finder;
      this.#select = root.querySelector("[data-sort]");
      this.#select.addEventListener("change", () => route.set({ sort: this.#select.value === atlas.find.sorts(route.state)[0] ? null : this.#select.value }));
    }

    show(state, { rows, filters, relaxed }) {
      // A button that was used is gone afterwards; the keyboard must not lose its place with it.
      const held = document.activeElement.closest(DRAWN);
      this.#part("count").textContent = atlas.find.told(rows.length, this.#finder.all);
      this.#select.replaceChildren(...atlas.find.sorts(state).map((name) => make("option", { value: name }, atlas.find.SORTS[name].title)));
      this.#select.value = atlas.find.sorted(state);
      const chips = filters.flatMap((filter) => filter.chips ?? [filter]);
      this.#part("chips").replaceChildren(...chips.map((chip) => make("li", {}, chipButton(chip))), ...(chips.length > 1 ? [make("li", {}, button("Reset", reset))] : []));
      this.#part("drawer").textContent = chips.length ? `Filters · ${chips.length}` : "Filters";
      this.#part("close").textContent = rows.length === 1 ? "Show 1 expert" : `Show ${count(rows.length)} experts`;
      this.#suggest(state);
      this.#empty(filters, relaxed, rows.length === 0 && filters.length > 0);
      if (held && !document.activeElement.closest(DRAWN)) (this.#part("chips").querySelector("button") ?? this.#part("count")).focus();
    }

    #part(name) { return this.#root.querySelector(`[data-${name}]`); }

    #suggest(state) {
      const meant = this.#finder.suggested(state.q).filter(({ name, task }) => !state.label.includes(name) && this.#finder.knows(task));
      this.#part("suggestions").replaceChildren(...meant.map(({ name, title, task, at }) => {
        const firing = this.#finder.firing({ task, at }, state.fires).size;
        return button([...token(title), ` is a label of ${task.title}: ${count(firing)} ${firing === 1 ? "expert fires" : "experts fire"} on it`], () => route.set({ q: "", label: [...state.label, name] }));
      }));
    }

    #empty(filters, relaxed, isEmpty) {
      this.#part("empty").hidden = !isEmpty;
      this.#part("legend").hidden = isEmpty;
      if (!isEmpty) return;
      const several = ["this filter", "both filters"][filters.length - 1] ?? `all ${filters.length} filters`;
      const ways = relaxed.map(({ text, left, without }) => button(token(`Without ${text}: ${count(left)}`), () => route.set(without)));
      this.#part("empty").replaceChildren(
        make("p", {}, `No expert passes ${several}.${ways.length || filters.length < 2 ? "" : " To leave out one of them is not enough."}`),
        ...ways, ...(ways.length ? [] : [button("Reset", reset)]));
    }
  }

  const reset = () => route.set({ ...route.DEFAULTS, sort: route.state.sort, map: route.state.map, folded: route.state.folded });

  function button(text, act) {
    const made = make("button", { type: "button" }, ...[text].flat());
    made.addEventListener("click", act);
    return made;
  }

  function chipButton({ text, without }) {
    const made = button([...token(text), make("span", { "aria-hidden": "true" }, "\u00a0×")], () => route.set(without));
    made.setAttribute("aria-label", `Remove filter: ${text}`);
    return made;
  }

  atlas.facets = { Facets, Summary };
})();
