"use strict";
// A list of boxes or radios, each with how many experts it would leave. Long ones have a box that looks for names, or show the first.
(() => {
  const { make, count, token } = atlas.words;
  const { folded } = atlas.search;
  const AT_ONCE = 12;   // of a list that shows only its first
  const LOOKED_UP = 20; // a longer list has a box that looks for names
  const SHORT = 3;      // letters of names that stand in several columns

  class Choices {
    #name; #options; #type; #few; #rows = new Map(); #list; #more; #filter = null; #chosen = new Set(); #amounts = null; #largest = 1; #all = false;

    // name: of the inputs; options: { value, text, note?, mark? } with nodes for what stands below and before; of: what they are, in the plural.
    constructor(name, options, { of, type = "checkbox", few = false }) {
      [this.#name, this.#options, this.#type, this.#few] = [name, options, type, few];
      const narrow = !few && options.length > LOOKED_UP && options.every(({ text }) => text.length <= SHORT);
      this.#list = make("div", { class: narrow ? "choices narrow" : "choices" });
      this.#more = make("button", { type: "button", class: "link", hidden: "" });
      this.#more.addEventListener("click", () => { this.#all = true; this.#list.parentNode.className = "within"; this.#lay(); this.#list.children[AT_ONCE]?.querySelector("input").focus(); });
      const isLong = options.length > LOOKED_UP;
      this.element = make("div", { class: "chooser" }, ...(isLong ? [this.#looking(of), make("div", { class: few ? "" : "within" }, this.#list)] : [this.#list]), this.#more);
      this.#lay();
    }

    show(chosen) {
      this.#chosen = new Set(chosen);
      if (this.#few && [...this.#chosen].some((value) => !this.#rows.has(value))) this.#lay();
      for (const [value, { input }] of this.#rows) input.checked = this.#chosen.has(value);
    }

    // By option; null where they are not known yet. Bars are as long as they are of the largest, from a place on.
    draw(amounts, { from = 0 } = {}) {
      this.#amounts = amounts;
      this.#largest = 1;
      for (let place = from; place < (amounts?.length ?? 0); place += 1) this.#largest = Math.max(this.#largest, amounts[place]);
      for (const row of this.#rows.values()) this.#count(row);
    }

    #looking(of) {
      this.#filter = make("input", { type: "search", class: "look", placeholder: "Look for", autocomplete: "off", spellcheck: "false", "aria-label": `Look for ${of}` });
      this.#filter.addEventListener("input", () => this.#lay());
      this.#filter.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || !this.#filter.value) return;
        event.preventDefault();
        event.stopPropagation();
        this.#filter.value = "";
        this.#lay();
      });
      return this.#filter;
    }

    // The options that are in sight: chosen ones always, others if their name holds what is looked for.
    #lay() {
      const wanted = folded(this.#filter?.value ?? "");
      const met = this.#options.flatMap((option, place) => (folded(option.text).includes(wanted) ? [place] : []));
      const most = this.#few && !this.#all && !wanted ? AT_ONCE : met.length;
      const shown = new Set(met.slice(0, most));
      this.#options.forEach(({ value }, place) => { if (this.#chosen.has(value)) shown.add(place); });
      this.#list.replaceChildren(...[...shown].sort((one, other) => one - other).map((place) => this.#row(place).element));
      if (!shown.size) this.#list.append(make("p", { class: "note" }, `None is called “${this.#filter.value.trim()}”.`));
      this.#more.hidden = most >= met.length;
      this.#more.textContent = `${count(met.length - most)} more`;
    }

    #row(place) {
      const option = this.#options[place];
      if (!this.#rows.has(option.value)) this.#rows.set(option.value, this.#made(option, place));
      return this.#rows.get(option.value);
    }

    #made({ value, text, note = [], mark = [] }, place) {
      const input = make("input", { type: this.#type, name: this.#name, value });
      input.checked = this.#chosen.has(value);
      const bar = make("span", { class: "share", "aria-hidden": "true" });
      const amount = make("span", { class: "amount" });
      const name = make("span", { class: "named" }, ...mark, make("span", {}, ...token(text), ...note));
      const row = { place, input, bar, amount, element: make("label", { class: "choice" }, input, " ", name, " ", bar, amount) };
      this.#count(row);
      return row;
    }

    #count({ place, bar, amount, element }) {
      const number = this.#amounts?.[place] ?? null;
      amount.textContent = number === null ? "" : count(number);
      bar.style.setProperty("--share", number === null ? 0 : Math.min(1, number / this.#largest));
      element.classList.toggle("none", number === 0);
    }
  }

  atlas.choices = { Choices };
})();
