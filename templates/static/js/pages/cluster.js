"use strict";
// A cluster of the map: what its name rests on, what its experts are, and their clouds.
(() => {
  const { make, count, counted, percent, quoting, trouble } = atlas.words;
  const { table, bar } = atlas.tables;
  const { route } = atlas;
  const AT_ONCE = 48;   // clouds
  const MOST = 8;       // kinds in a table; the others share a line
  const ZOOM = 3;       // of the map around its middle

  class Page {
    #root; #manifest; #finder; #classes; #clouds; #cluster = null; #rows = []; #most = AT_ONCE;

    // classes: of shapes, or null.
    constructor(root, manifest, finder, classes) {
      [this.#root, this.#manifest, this.#finder, this.#classes] = [root, manifest, finder, classes];
      this.#clouds = new atlas.clouds.Clouds(this.#part("experts"), manifest);
      const names = manifest.map?.clusters.name ?? [];
      const others = this.#part("others");
      others.hidden = names.length < 2;
      others.firstElementChild.append(...names.map((name, at) => make("option", { value: at }, atlas.clusters.short(name))));
      others.firstElementChild.addEventListener("change", ({ target }) => route.set({ ofCluster: Number(target.value) }));
      this.#part("more").firstElementChild.addEventListener("click", () => {
        const before = Math.min(this.#most, this.#rows.length);
        this.#most += AT_ONCE;
        this.#draw();
        this.#part("experts").children[before].querySelector("a").focus();
      });
    }

    show({ ofCluster: cluster }, { arrived }) {
      const name = this.#manifest.map?.clusters.name[cluster];
      this.#root.querySelector("[data-heading]").replaceChildren(...(name === undefined ? [`Cluster ${cluster}`] : ["Cluster: ", make("bdi", {}, ...quoting(name))]));
      this.#root.querySelector("[data-body]").hidden = name === undefined;
      const many = this.#manifest.map?.clusters.name.length ?? 0;
      trouble(this.#root, name !== undefined ? null : `This atlas has no cluster of that number. ${many ? `Its map has ${count(many)}, from 0: choose one above, or go back to the list.` : "Its map has none."}`);
      this.#part("others").firstElementChild.value = cluster;
      if (arrived) { scrollTo(0, 0); this.#root.querySelector("[data-heading]").focus({ preventScroll: true }); }
      if (name === undefined) return;
      this.#lead(cluster);
      if (cluster === this.#cluster) return;
      this.#cluster = cluster;
      this.#rows = Array.from(this.#finder.cluster.keys()).filter((row) => this.#finder.cluster[row] === cluster + 1);   // the most important first
      this.#most = AT_ONCE;
      this.#say(cluster);
      this.#part("counts").replaceChildren(...this.#counts());
      this.#draw();
    }

    #part(name) { return this.#root.querySelector(`[data-cluster-${name}]`); }

    #lead(cluster) {
      const { experts, x, y } = this.#manifest.map.clusters;
      const wanted = { ...route.DEFAULTS, view: route.state.view, cluster: [String(cluster)] };
      this.#part("list").href = route.link(wanted);
      this.#part("list").textContent = `Show ${experts[cluster] === 1 ? "it" : `all ${count(experts[cluster])}`} in the list`;
      this.#part("map").href = route.link({ ...wanted, tab: "map", place: `${x[cluster]},${y[cluster]},${ZOOM}` });
    }

    #say(cluster) {
      const { basis, experts, named } = this.#manifest.map.clusters;
      const [of, is] = [`${count(named[cluster])} of its ${counted(experts[cluster], "expert")}`, named[cluster] === 1];
      const held = basis[cluster] === "title" ? `${is ? "has" : "have"} the title that it is named after` : `${is ? "fires" : "fire"} on one of the tokens that it is named after`;
      this.#part("says").textContent = named[cluster] ? `${of} ${held}.` : `No title or token stands out among its ${counted(experts[cluster], "expert")}.`;
    }

    // What its experts are, by kind.
    #counts() {
      const { title_task: of, basis } = this.#manifest.experts;
      const titled = (row) => this.#manifest.tasks.find(({ task }) => task === of[row])?.title ?? (basis[row] === "silent" ? "none: silent" : "its tokens");
      const shaped = (row) => this.#classes.names[this.#classes.at(row)] ?? "not tested";
      return [
        this.#table("Titles name", titled),
        ...(this.#classes ? [this.#table("Shape", shaped)] : []),
        this.#table("Activity", (row) => atlas.query.ACTIVITIES[this.#finder.activity(row)]),
      ];
    }

    #table(title, kind) {
      const found = new Map();
      for (const row of this.#rows) found.set(kind(row), (found.get(kind(row)) ?? 0) + 1);
      const kinds = [...found].sort((one, other) => other[1] - one[1]);
      const rest = kinds.slice(MOST).reduce((sum, [, many]) => sum + many, 0);
      const lines = [...kinds.slice(0, MOST), ...(rest ? [["others", rest]] : [])];
      return table([title, "", "Experts"], lines.map(([name, many]) => make("tr", {},
        make("th", { scope: "row" }, name), make("td", { class: "bar" }, bar(many / this.#rows.length)), make("td", {}, count(many)))));
    }

    #draw() {
      const { importance } = this.#manifest.experts;
      const shown = this.#rows.slice(0, this.#most);
      const rest = this.#rows.length - shown.length;
      this.#part("shown").textContent = `${rest ? `${count(shown.length)} of ${count(this.#rows.length)}, the` : "The"} most important first; the number is the importance.`;
      this.#clouds.clear();
      this.#part("experts").replaceChildren(...shown.map((row) => this.#clouds.item(row, `importance ${percent(importance[row])}`, make("div", { class: "value" }, percent(importance[row])))));
      this.#part("more").hidden = rest === 0;
      this.#part("more").firstElementChild.textContent = `${count(Math.min(AT_ONCE, rest))} more`;
    }
  }

  atlas.cluster = { Page };
})();
