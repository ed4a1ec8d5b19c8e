"use strict";
// The experts near one expert, by kind, as small clouds that lead on to their pages.
(() => {
  const { make, aligned, count, token, trouble } = atlas.words;
  const { term } = atlas.definitions;
  const AT_FIRST = 8;
  const KINDS = {
    output: { of: "output", title: "Output space", about: "What they write overlaps, weighted by use: 0 nothing in common, 1 the same directions. n: the neighbour’s firings." },
    encoder: { of: "encoder", title: "Read alike", about: "The directions they read overlap: 0 nothing in common, 1 the same." },
    co_firing: { of: "log-odds", title: "Fire together", about: "Log odds ratio of firing on the same tokens: 0 is independence. n: tokens on which both fire." },
    context: { of: "context", title: "Same contexts", about: "The words around their firings are alike, from 0 to 1, on the token sample. n: the neighbour’s firings there." },
  };

  class Neighbours {
    #root; #manifest; #seen; #items = [];

    constructor(root, manifest) {
      this.#root = root;
      this.#manifest = manifest;
      this.#seen = new IntersectionObserver((entries) => entries.forEach((entry) => this.#see(entry)), { rootMargin: "200px" });
      atlas.scheme.changes.addEventListener("change", () => this.#items.forEach((item) => item.inView && item.points && this.#paint(item)));
    }

    // found: by kind, columns row, value and n, or why there is none.
    show(found) {
      this.#seen.disconnect();
      this.#items = [];
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
      const columns = this.#manifest.experts;
      const expert = columns.expert[row];
      const title = make("span", { class: "title" }, ...token(columns.title[row]));
      const link = make("a", { href: atlas.route.link({ expert }), "aria-label": `Expert ${expert}: ${title.textContent}, ${aligned(value)}` },
        make("canvas", { ...atlas.cloud.PICTURE, "aria-hidden": "true" }),
        make("span", { class: "name", title: title.textContent }, make("b", {}, String(expert)), " ", title));
      const item = make("li", {}, link, make("div", { class: "value" }, make("span", {}, aligned(value)), ...(n === undefined ? [] : [make("span", {}, `n ${count(n)}`)])), this.#beside(expert));
      const shown = this.#task(row);
      if (shown?.labels.name.length) item.append(make("span", { class: "by", title: `The cloud is coloured by ${shown.title}` }, shown.title));
      item.row = row;
      this.#items.push(item);
      this.#seen.observe(item);
      return item;
    }

    #beside(expert) {
      const own = atlas.route.state.expert;
      return make("a", { class: "beside-it", href: atlas.route.link({ beside: [own, expert] }), "aria-label": `Experts ${own} and ${expert} side by side` }, "side by side");
    }

    #task(row) { return this.#manifest.tasks.find(({ task }) => task === this.#manifest.experts.cloud_task[row]); }

    async #see({ target: item, isIntersecting }) {
      item.inView = isIntersecting;
      if (!isIntersecting) return;
      try {
        item.points ??= await atlas.cloud.small(this.#manifest, item.row);
        if (item.inView) this.#paint(item);
      } catch (error) { trouble(this.#root.closest("[data-page]"), error.message); }
    }

    #paint(item) {
      const colours = this.#task(item.row)?.labels.colours[atlas.scheme.name()] ?? [];
      atlas.cloud.picture(item.querySelector("canvas"), item.points, colours);
    }
  }

  atlas.neighbours = { Neighbours };
})();
