"use strict";
// The norms on a prompt: a table of experts by tokens, one line an expert, in which the arrow keys go from cell to cell.
(() => {
  const { make, number, quoting, token } = atlas.words;
  const { route } = atlas;

  // The largest and the number of those above the threshold, of each expert that the prompt has norms of.
  function summed({ rows, steps, width, inThreshold }) {
    return Array.from(rows, (row, at) => {
      const own = steps.subarray(at * width, (at + 1) * width);
      const fires = own.reduce((sum, value) => sum + (value > inThreshold), 0);
      const most = own.reduce((best, value, position) => (value > own[best] ? position : best), 0);
      return { at, row, fires, most, strongest: own[most], first: own.findIndex((value) => value > inThreshold) };
    });
  }

  // What a prompt's payload says, decoded.
  async function decoded(stored) {
    const steps = await atlas.payloads.unpack(stored.norms);
    const found = { ...stored, rows: atlas.payloads.array(stored.rows), steps, width: stored.tokens.length, inThreshold: stored.steps, special: new Set(stored.special), windows: new Set(stored.windows.slice(1)) };
    const step = (at, position) => steps[at * found.width + position];
    return {
      ...found,
      experts: summed(found),
      fires: (at, position) => step(at, position) > stored.steps,
      share: (at, position) => step(at, position) / stored.steps,   // of the threshold
      norm: (at, position) => (step(at, position) / stored.steps) * stored.threshold,
    };
  }

  class Norms {
    #root; #manifest; #read; #choose; #prompt = null; #lines = []; #place = [0, 1];

    // read: says what a cell holds, or null; choose: a token by its position.
    constructor(root, manifest, { read, choose }) {
      [this.#root, this.#manifest, this.#read, this.#choose] = [root, manifest, read, choose];
      root.addEventListener("keydown", (event) => this.#moved(event));
      root.addEventListener("focusin", ({ target }) => this.#arrived(target));
      root.addEventListener("pointerover", ({ target }) => this.#says(target.closest("td")));
      root.addEventListener("pointerleave", () => this.#says(null));
      root.addEventListener("focusout", () => this.#says(null));
      root.addEventListener("click", ({ target }) => {
        const at = target.closest("[data-position]");
        if (at) this.#choose(Number(at.dataset.position));
      });
    }

    // experts: as `decoded` has them, in the order of the lines.
    draw(prompt, experts) {
      if (prompt !== this.#prompt) this.#place = [0, 1];
      this.#prompt = prompt;
      this.#root.replaceChildren(make("caption", { class: "spoken" }, "Norm of each expert on each token, in thresholds: above 1 it fires."),
        make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Expert"), ...prompt.tokens.map((text, position) => this.#head(text, position)))),
        make("tbody", {}, ...experts.map((expert) => this.#line(expert))));
      this.#lines = [...this.#root.querySelectorAll("tr")];
      this.#place = [Math.min(this.#place[0], this.#lines.length - 1), this.#place[1]];
      this.#cell(...this.#place).tabIndex = 0;
    }

    // The chosen token, which is in sight.
    mark(position) {
      for (const button of this.#root.querySelectorAll("thead button")) button.setAttribute("aria-pressed", String(Number(button.dataset.position) === position));
      const box = this.#root.parentElement;
      const [cell, names] = [this.#lines[0].children[position + 1], this.#lines[0].children[0].offsetWidth];
      const from = cell.offsetLeft - names;
      if (from < box.scrollLeft || cell.offsetLeft + cell.offsetWidth > box.scrollLeft + box.clientWidth) box.scrollLeft = from - (box.clientWidth - names) / 2;
    }

    // The class of a token's column.
    #column(position) {
      const { special, windows } = this.#prompt;
      return [special.has(position) ? "special" : "", windows.has(position) ? "window" : ""].filter(Boolean).join(" ") || null;
    }

    #head(text, position) {
      const button = make("button", { type: "button", tabindex: "-1", "data-position": position, "aria-pressed": "false" }, make("bdi", {}, ...token(text)));
      return make("th", { scope: "col", class: this.#column(position) }, button);
    }

    #line({ at, row, fires }) {
      const { expert, title } = this.#manifest.experts;
      const link = make("a", { href: route.link({ expert: expert[row] }), tabindex: "-1", title: title[row] }, make("b", {}, String(expert[row])), " ", make("bdi", {}, ...quoting(title[row])));
      const cells = this.#prompt.tokens.map((_, position) => this.#norm(at, position));
      return make("tr", { class: fires ? null : "silent", "data-at": at }, make("th", { scope: "row" }, link), ...cells);
    }

    // A cell that fires says its norm in thresholds; one that comes near is grey.
    #norm(at, position) {
      const { fires, share } = this.#prompt;
      const isFiring = fires(at, position);
      const own = share(at, position);
      const cell = make("td", { tabindex: "-1", "data-position": position, class: this.#column(position) }, isFiring ? (own < 9.95 ? own.toFixed(1) : number(Math.round(own))) : "");
      if (isFiring) cell.classList.add("fires");
      if (own >= 0.5) cell.style.setProperty("--level", (isFiring ? Math.min(1, 0.2 + own / 5) : own - 0.4).toFixed(2));
      return cell;
    }

    // --- the keyboard ---

    #cell(line, column) {
      const cell = this.#lines[line].children[column];
      return cell.querySelector("button, a") ?? cell;
    }

    #moved(event) {
      const [line, column] = this.#place;
      const last = [this.#lines.length - 1, this.#prompt.width];
      const to = {
        ArrowUp: [line - 1, column], ArrowDown: [line + 1, column], ArrowLeft: [line, column - 1], ArrowRight: [line, column + 1],
        Home: event.ctrlKey ? [0, 1] : [line, line === 0 ? 1 : 0], End: event.ctrlKey ? last : [line, last[1]],
      }[event.key];
      if (event.key === "Enter" && event.target.matches("td")) this.#choose(column - 1);
      if (!to) return;
      event.preventDefault();
      const next = [Math.max(0, Math.min(last[0], to[0])), Math.max(to[0] <= 0 ? 1 : 0, Math.min(last[1], to[1]))];   // the corner holds nothing
      this.#cell(...next).focus();
    }

    #arrived(target) {
      const line = target.closest("tr");
      this.#cell(...this.#place).tabIndex = -1;
      this.#place = [this.#lines.indexOf(line), [...line.children].indexOf(target.closest("th, td"))];
      target.tabIndex = 0;
      this.#says(target.closest("td"));
    }

    #says(cell) {
      const said = cell ? this.#read(Number(cell.parentElement.dataset.at), Number(cell.dataset.position)) : null;
      if (cell && document.activeElement === cell) cell.setAttribute("aria-label", said);   // what a screen reader says of it
    }
  }

  atlas.norms = { Norms, decoded };
})();
