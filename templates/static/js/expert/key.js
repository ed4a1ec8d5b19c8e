"use strict";
// The key of a cloud's colours: an axis with ticks, and entries that a reader isolates or hides.
(() => {
  const { make, count, token } = atlas.words;
  const STEPS = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] };

  function coloured(element, { light, dark }) {
    element.style.setProperty("--light", light);
    element.style.setProperty("--dark", dark);
    return element;
  }

  function axis({ title, light, dark, ticks, note }) {
    const shades = make("div", { class: "shades", "aria-hidden": "true" }, ...light.map((one, at) => coloured(make("span"), { light: one, dark: dark[at] })));
    const named = ticks.map(({ at, text }) => {
      const tick = make("span", {}, text);
      tick.style.setProperty("--at", at);
      return tick;
    });
    return make("div", { class: "ramp" }, make("p", { class: "note" }, title), shades, make("div", { class: "ticks" }, ...named), ...(note ? [make("p", { class: "note" }, note)] : []));
  }

  class Key {
    #root; #shown = null; #items = [];

    constructor(root) {
      this.#root = root;
      root.addEventListener("click", ({ target }) => this.#pressed(target.closest("button")));
      root.addEventListener("keydown", (event) => this.#move(event));
      root.addEventListener("focusin", ({ target }) => this.#reach(target.closest("li")));
    }

    // state: what is isolated (`only`) and hidden (`without`), as the address has it.
    show(colouring, state) {
      if (colouring !== this.#shown) this.#write(colouring);
      const kept = atlas.colouring.kept(colouring, state);
      for (const { element, text, at } of this.#items) {
        element.classList.toggle("out", !kept[at]);
        element.querySelector("[data-only]").setAttribute("aria-pressed", String(state.only.includes(text)));
        const hide = element.querySelector("[data-without]");
        hide.setAttribute("aria-pressed", String(state.without.includes(text)));
        hide.textContent = state.without.includes(text) ? "show" : "hide";
      }
      const all = this.#root.querySelector("[data-all]");
      if (all) all.style.visibility = kept.every(Boolean) ? "hidden" : "visible";
    }

    #write(colouring) {
      this.#shown = colouring;
      const entries = colouring.entries.map((entry, at) => ({ ...entry, at })).filter((entry) => entry.count);
      // What has one colour alone leaves nothing to choose.
      this.#items = colouring.of ? entries.map((entry) => ({ ...entry, element: this.#entry(entry) })) : [];
      const plain = colouring.of ? [] : entries.map(({ text, count: amount, ...colours }) => make("li", {}, coloured(make("span", { class: "swatch" }), colours), `${text} `, make("span", { class: "amount" }, count(amount))));
      const list = make("ul", { "aria-label": `Key: ${colouring.title}` }, ...plain, ...this.#items.map(({ element }) => element));
      if (this.#items.length) list.append(make("li", {}, make("button", { type: "button", class: "quiet", "data-all": "" }, "Show all")));
      this.#root.replaceChildren(
        ...(colouring.axis ? [axis(colouring.axis)] : []),
        ...(entries.length ? [list] : []),
      );
      this.#reach(this.#items[0]?.element ?? null);
    }

    #entry({ text, at, count: amount, ...colours }) {
      return make("li", { "data-at": at },
        make("button", { type: "button", "data-only": "", "aria-pressed": "false", title: "Isolate" }, coloured(make("span", { class: "swatch" }), colours), make("span", { class: "text" }, ...token(text)), make("span", { class: "amount" }, count(amount))),
        make("button", { type: "button", class: "quiet", "data-without": "", "aria-pressed": "false", "aria-label": `Hide ${text}` }, "hide"));
    }

    #pressed(button) {
      if (!button) return;
      const { only, without } = atlas.route.state;
      if ("all" in button.dataset) {
        this.#items[0].element.querySelector("button").focus();   // the button goes
        return atlas.route.adjust({ only: [], without: [] });
      }
      const { text } = this.#items.find(({ element }) => element.contains(button));
      const turned = (list) => (list.includes(text) ? list.filter((one) => one !== text) : [...list, text]);
      atlas.route.adjust("only" in button.dataset ? { only: turned(only) } : { without: turned(without) });
    }

    // One entry is in the order of the Tab key; arrow keys go from there.
    #reach(item) {
      for (const { element } of this.#items) for (const button of element.querySelectorAll("button")) button.tabIndex = element === item ? 0 : -1;
    }

    #move(event) {
      const [down, across] = STEPS[event.key] ?? [0, 0];
      const at = this.#items.findIndex(({ element }) => element.contains(event.target));
      if (at < 0 || (!down && !across)) return;
      event.preventDefault();
      const isHide = "without" in event.target.dataset;
      const next = this.#items[Math.max(0, Math.min(this.#items.length - 1, at + down))].element;
      next.querySelectorAll("button")[across > 0 || (isHide && across === 0) ? 1 : 0].focus();
    }
  }

  atlas.key = { Key };
})();
