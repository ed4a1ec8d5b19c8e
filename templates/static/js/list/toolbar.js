"use strict";
// What stands above the list: its order, gallery or table, the table's columns, and the downloads.
(() => {
  const { make, trouble } = atlas.words;
  const { route } = atlas;
  const WAYS = {   // of a sort, and of the same turned round
    match: ["best first", "worst first"], number: ["smallest first", "largest first"], title: ["A to Z", "Z to A"],
    cluster: ["largest cluster first", "smallest cluster first"], shape: ["in the order of the filter", "in reverse"],
  };
  const AMOUNT = ["largest first", "smallest first"];

  // A query's own sort goes without saying.
  function sort(name, turned) {
    const [own] = atlas.query.sorts(route.state);
    route.set({ sort: name === own && !turned ? null : `${turned ? "-" : ""}${name}` });
  }

  class Toolbar {
    #root; #bar; #sort; #way; #views; #columns; #boxes; #exporter; #pane; #found = null;

    constructor(root, pane, exporter) {
      [this.#root, this.#pane, this.#exporter] = [root, pane, exporter];
      const part = (name) => root.querySelector(`[data-${name}]`);
      [this.#bar, this.#sort, this.#way, this.#columns, this.#boxes] = ["controls", "sort", "way", "columns", "boxes"].map(part);
      this.#views = root.querySelectorAll("[data-view]");
      this.#sort.addEventListener("change", () => sort(this.#sort.value, false));
      this.#way.addEventListener("click", () => sort(this.#found.sort.name, !this.#found.sort.turned));
      for (const button of this.#views) button.addEventListener("click", () => route.adjust({ view: button.dataset.view }));
      this.#choices(part("usual"));
      for (const button of root.querySelectorAll("[data-download]")) button.addEventListener("click", () => this.#download(button));
      for (const popover of root.querySelectorAll(".pop")) popover.addEventListener("toggle", ({ newState }) => { if (newState === "open") beside(popover); });
      this.#bar.hidden = false;
    }

    show(found) {
      const { sorts, SORTS } = atlas.query;
      const { name, turned } = (this.#found = found).sort;
      const names = sorts(route.state);
      if (names.join() !== Array.from(this.#sort.options, ({ value }) => value).join()) this.#sort.replaceChildren(...names.map((one) => make("option", { value: one }, SORTS[one].title)));
      this.#sort.value = name;
      const [usual, round] = WAYS[name] ?? AMOUNT;
      this.#way.textContent = turned ? round : usual;
      this.#way.setAttribute("aria-label", `Order: ${turned ? round : usual}. Turn it round`);
      for (const button of this.#root.querySelectorAll("[data-download]")) button.disabled = found.rows.length === 0;
      this.look(route.state);
    }

    look(state) {
      for (const button of this.#views) button.setAttribute("aria-pressed", String(button.dataset.view === state.view));
      this.#columns.hidden = state.view !== "table";
      if (this.#columns.popoverTargetElement.matches(":popover-open")) this.#tick(state);
    }

    #tick(state) {
      const names = atlas.table.columns(state, this.#pane.clientWidth);
      for (const box of this.#boxes.querySelectorAll("input")) box.checked = names.includes(box.value);
    }

    // --- the table's columns ---

    #choices(usual) {
      const { CHOSEN, COLUMNS } = atlas.table;
      this.#columns.popoverTargetElement.addEventListener("beforetoggle", () => this.#tick(route.state));
      this.#boxes.append(...CHOSEN.map((name) => make("label", { class: "choice" }, make("input", { type: "checkbox", value: name }), " ", make("span", {}, COLUMNS[name].title))));
      this.#boxes.addEventListener("change", () => {
        const names = Array.from(this.#boxes.querySelectorAll("input:checked"), ({ value }) => value);
        route.adjust({ columns: names.join(",") || "none" });
      });
      usual.addEventListener("click", () => route.adjust({ columns: null }));
    }

    // --- the downloads ---

    async #download(button) {
      const kind = button.dataset.download;
      button.disabled = true;
      try { await this.#exporter.save(kind, this.#found); } catch (error) { trouble(this.#root, `The list could not be written: ${error.message}`); }
      button.disabled = false;
      if (document.activeElement === document.body) button.focus({ preventScroll: true });   // what is disabled loses it
    }
  }

  // Below the button that opens it, inside the window.
  function beside(popover) {
    const { left, right, bottom } = document.querySelector(`[popovertarget="${popover.id}"]`).getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = popover;
    const start = left + width <= innerWidth - 8 ? left : right - width;
    popover.style.insetInlineStart = `${Math.max(8, Math.min(start, innerWidth - 8 - width))}px`;
    popover.style.insetBlockStart = `${Math.max(8, Math.min(bottom + 4, innerHeight - 8 - height))}px`;
  }

  atlas.toolbar = { Toolbar, sort };
})();
