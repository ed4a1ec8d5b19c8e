"use strict";
// A token's page: the experts that fire on it.
(() => {
  const { make, count, aligned, percent, percents, points, quoting, token, trouble } = atlas.words;
  const { load, array } = atlas.payloads;
  const { route } = atlas;
  const AT_FIRST = 200;   // rows
  const FIRST = { expert: 1, share: -1, lift: -1, rate: -1 };   // which way round a column is sorted first: up or down

  class Page {
    #root; #experts; #finder; #shown = 0; #text = null; #table = null; #sort = "share"; #way = -1; #most = AT_FIRST;

    constructor(root, manifest, finder) {
      this.#root = root;
      this.#experts = manifest.experts;
      this.#finder = finder;
      for (const button of this.#buttons()) button.addEventListener("click", () => this.#sorted(button.dataset.tokenSort));
      this.#part("more").firstElementChild.addEventListener("click", () => {
        this.#most = Infinity;
        this.#draw();
        this.#part("rows").children[AT_FIRST].querySelector("a").focus({ preventScroll: true });
      });
    }

    async show({ token: text }, { arrived }) {
      const isOther = text !== this.#text;
      this.#text = text;
      this.#root.querySelector("[data-heading]").replaceChildren("Experts that fire on “", make("bdi", { class: "token" }, ...token(text)), "”");
      this.#part("points").textContent = `Code points: ${points(text)}`;
      this.#part("points").hidden = points(text) === "";
      this.#search(text);
      if (arrived) { scrollTo(0, 0); this.#root.querySelector("[data-heading]").focus({ preventScroll: true }); }
      if (!isOther) return this.#table && this.#draw();   // the list's filters, which links keep, may be others
      const turn = ++this.#shown;
      this.#table = null;
      this.#body().hidden = true;
      trouble(this.#root, null);
      try {
        const table = await this.#read(text);
        if (turn !== this.#shown) return;
        this.#table = table;
        this.#search(text);
        [this.#sort, this.#way, this.#most] = ["share", -1, AT_FIRST];
        if (table === null) return trouble(this.#root, "No expert's listed tokens have this one: the atlas keeps, for each expert, the tokens that tell most about it. Choose another in the search, or go back to the list of experts.");
        this.#say();
        this.#draw();
        this.#body().hidden = false;
      } catch (error) {
        if (turn !== this.#shown) return;
        this.#text = null;   // another try reads it again
        trouble(this.#root, error.message);
      }
    }

    #part(name) { return this.#root.querySelector(`[data-token-${name}]`); }

    #body() { return this.#root.querySelector("[data-body]"); }

    #buttons() { return this.#root.querySelectorAll("[data-token-sort]"); }

    // What the list finds by the text, which is more than the experts here. The other link may lead to just that.
    #search(text) {
      const wanted = { ...route.DEFAULTS, view: route.state.view, q: text };
      const link = this.#part("list");
      link.href = route.link(wanted);
      link.replaceChildren("Search the list for “", make("bdi", {}, ...token(text)), "”");
      link.hidden = this.#table === null || route.finding(route.state) === route.finding(wanted);
    }

    // Columns by place, the largest share first; null where no expert has the token.
    async #read(text) {
      const found = await this.#finder.token(text);
      if (!found?.rows.length) return null;
      const { rows, share, shard, from } = found;
      const stored = await load(`tokens/${shard}`);
      const part = (name) => array(stored[name]).subarray(from, from + rows.length);
      return { rows, share, lift: part("lift"), low: part("low"), high: part("high"), count: part("count") };
    }

    #say() {
      const { rows } = this.#table;
      const one = rows.length === 1;
      this.#part("says").textContent = `${count(rows.length)} of ${count(this.#finder.all)} experts ${one ? "has" : "have"} it among the tokens kept of ${one ? "its" : "their"} firings on the corpus.`;
      this.#part("caption").replaceChildren("Experts that fire on “", ...token(this.#text), "”");
    }

    #sorted(name) {
      this.#way = name === this.#sort ? -this.#way : FIRST[name];
      this.#sort = name;
      this.#draw();
    }

    #draw() {
      const { rows } = this.#table;
      const { expert, rate } = this.#experts;
      const key = { expert: (at) => expert[rows[at]], share: (at) => this.#table.share[at], lift: (at) => this.#table.lift[at], rate: (at) => rate[rows[at]] }[this.#sort];
      const order = Array.from(rows, (_, at) => at).sort((one, other) => this.#way * (key(one) - key(other)) || one - other);
      this.#part("rows").replaceChildren(...order.slice(0, this.#most).map((at) => this.#row(at)));
      this.#part("more").hidden = order.length <= this.#most;
      this.#part("more").firstElementChild.textContent = `Show all ${count(order.length)}`;
      for (const button of this.#buttons()) {
        const sorted = button.dataset.tokenSort === this.#sort;
        button.closest("th").setAttribute("aria-sort", sorted ? (this.#way > 0 ? "ascending" : "descending") : "none");
      }
    }

    #row(at) {
      const { rows, share, low, high, lift, count: counted } = this.#table;
      const { expert, title, rate } = this.#experts;
      const row = rows[at];
      const link = make("a", { href: route.link({ expert: expert[row], at: null }) }, make("b", {}, String(expert[row])), " ", make("bdi", {}, ...quoting(title[row])));
      return make("tr", {}, make("th", { scope: "row" }, link), make("td", {}, percents(share[at], low[at], high[at])),
        make("td", {}, aligned(lift[at])), make("td", {}, count(counted[at])), make("td", {}, percent(rate[row])));
    }
  }

  atlas.token = { Page };
})();
