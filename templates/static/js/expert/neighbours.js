"use strict";
// The experts near one expert, by kind, as small clouds that lead on to their pages.
(() => {
  const { make, aligned, count } = atlas.words;
  const { term } = atlas.definitions;
  const AT_FIRST = 8;
  const KINDS = {
    output: { of: "output", title: "Output space", about: "What they write overlaps, weighted by use: 0 nothing in common, 1 the same directions. n: the neighbour’s firings." },
    encoder: { of: "encoder", title: "Read alike", about: "The directions they read overlap: 0 nothing in common, 1 the same." },
    co_firing: { of: "log-odds", title: "Fire together", about: "Log odds ratio of firing on the same tokens: 0 is independence. n: tokens on which both fire." },
    context: { of: "context", title: "Same contexts", about: "The words around their firings are alike, from 0 to 1, on the token sample. n: the neighbour’s firings there." },
  };

  class Neighbours {
    #root; #manifest; #clouds;

    constructor(root, manifest) {
      this.#root = root;
      this.#manifest = manifest;
      this.#clouds = new atlas.clouds.Clouds(root, manifest);
    }

    // found: by kind, columns row, value and n, or why there is none.
    show(found) {
      this.#clouds.clear();
      this.#root.replaceChildren(...Object.entries(KINDS).map(([kind, { of, title, about }]) => make("section", { class: "kind" },
        make("h4", {}, term(of, title)), ...(found[kind].absent ? [make("p", { class: "note" }, found[kind].absent)] : this.#near(title, about, { n: this.#firings(kind, found[kind]), ...found[kind] })))));
    }

    // Of what is exact for the weights there is no number; how each expert uses its outputs is counted on its firings.
    #firings(kind, { row }) { return kind === "output" ? row.map((one) => this.#manifest.experts.firings[one]) : null; }

    #near(title, about, { row, value, n }) {
      const items = row.map((one, at) => this.#item(one, value[at], n?.[at]));
      const list = make("ul", { class: "experts near", "aria-label": title }, ...items);
      const rest = items.slice(AT_FIRST);
      rest.forEach((item) => { item.hidden = true; });
      const note = make("p", { class: "note" }, about);
      if (!rest.length) return [note, list];
      const more = make("button", { type: "button" }, `${rest.length} more`);
      more.addEventListener("click", () => {
        rest.forEach((item) => { item.hidden = false; });
        more.remove();
        rest[0].querySelector("a").focus();
      });
      return [note, list, more];
    }

    #item(row, value, n) {
      const numbers = make("div", { class: "value" }, make("span", {}, aligned(value)), ...(n === undefined ? [] : [make("span", {}, `n ${count(n)}`)]));
      return this.#clouds.item(row, aligned(value), numbers, this.#beside(this.#manifest.experts.expert[row]));
    }

    #beside(expert) {
      const own = atlas.route.state.expert;
      return make("a", { class: "beside-it", ...atlas.route.way({ beside: [own, expert] }), "aria-label": `Experts ${own} and ${expert} side by side` }, "side by side");
    }
  }

  atlas.neighbours = { Neighbours };
})();
