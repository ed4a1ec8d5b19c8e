"use strict";
// A labelled task's page: what it is, what can be read of it from which experts, what each of them does on its labels, and its rows.
(() => {
  const { make, count, counted, number, percent, say, token } = atlas.words;
  const { load, array } = atlas.payloads;
  const { term } = atlas.definitions;
  const { route } = atlas;
  const ROWS = 50;       // of the heat map at first, and more at a time
  const HALF = 0.5;      // of a label's rows: an expert covers it
  const HIGHEST = 400;   // rows that a canvas is asked to hold
  const SORTS = { label: "the label where it fires most", importance: "importance on it", score: "best score on it", number: "number" };

  class Page {
    #root; #manifest; #finder; #opening; #heat; #sentences; #task = null; #written = null; #found = null; #ordered = []; #most = ROWS;

    constructor(root, manifest, finder) {
      [this.#root, this.#manifest, this.#finder] = [root, manifest, finder];
      this.#opening = new atlas.opening.Opening(root);
      this.#heat = new atlas.heatmap.Heatmap(this.#part("heat"), this.#part("says"), (at) => route.set({ expert: this.#manifest.experts.expert[this.#found.rows[at].row], at: null }));
      this.#sentences = new atlas.sentences.Sentences(root);
      this.#offer();
      for (const name of ["shown", "sort"]) this.#part(name).addEventListener("change", () => this.#draw());
      this.#part("more").firstElementChild.addEventListener("click", () => {
        this.#most += ROWS;
        this.#draw();
        this.#part("heat").querySelector(".heat-cells").focus();
      });
      this.#part("twin").addEventListener("toggle", () => this.#tabulate());
    }

    async show({ ofTask: name }, { arrived }) {
      const task = this.#finder.task(name);
      this.#head(name, task);
      if (arrived) { scrollTo(0, 0); this.#root.querySelector("[data-heading]").focus({ preventScroll: true }); }
      if (!task) return this.#opening.none(this.#missing());
      if (!await this.#opening.open(name, () => this.#read(task), (found) => this.#fill(task, found))) return;
      this.#link(task);
      await this.#opening.shown(this.#write(task));
    }

    leave() { this.#opening.leave(); }

    #part(name) { return this.#root.querySelector(`[data-task-${name}]`); }

    get #labelled() { return this.#manifest.tasks.filter(({ labels }) => labels.name.length); }

    #offer() {
      const others = this.#part("others");
      others.hidden = this.#labelled.length < 2;
      others.firstElementChild.append(...this.#labelled.map(({ name, title }) => make("option", { value: name }, title)));
      others.firstElementChild.addEventListener("change", ({ target }) => route.set({ ofTask: target.value }));
      this.#part("sort").append(...Object.entries(SORTS).map(([value, text]) => make("option", { value }, text)));
    }

    #head(name, task) {
      this.#root.querySelector("[data-heading]").replaceChildren(...token(task?.title ?? name));
      const others = this.#part("others").firstElementChild;
      others.value = name;
    }

    #missing() {
      const known = this.#labelled.map(({ title }) => title).join(", ");
      return `This atlas has no labelled task of that name. ${known ? `It has ${known}: choose one above.` : "It was probed with none."}`;
    }

    // Its rows, once; until they are here, those of another wait out of sight.
    async #write(task) {
      if (this.#written === task) return;
      const { classList } = this.#root.querySelector('[data-section="sentences"]');
      classList.add("waiting");
      const sentences = await load(`tasks/${task.task}`).then(atlas.points.sentences);
      if (this.#task !== task || this.#written === task) return;
      this.#written = task;
      this.#sentences.show(task, sentences);
      classList.remove("waiting");
    }

    // What of it the list can show.
    #link(task) {
      const { title_task: of } = this.#manifest.experts;
      const claims = Array.from(of.keys()).filter((row) => this.#finder.isAbout(row, task.task)).length;
      const address = route.link({ ...route.DEFAULTS, view: route.state.view, task: task.name });
      this.#part("list").replaceChildren(claims ? make("a", { href: address }, `${counted(claims, "expert")} with a claim about it, in the list`) : "No expert’s title names it, and no order of it is supported.");
    }

    async #read(task) {
      const name = `importance/${task.task}`;
      const [{ of, best }, stored] = await Promise.all([load(`scores/${task.task}`), name in this.#manifest.files ? load(name) : null, this.#finder.loadLabels(task)]);
      const important = stored && { rows: array(stored.rows), importance: array(stored.importance), tokens: stored.tokens };
      const [rows, value] = [array(best.rows), array(best.value)];
      const scores = new Map(Array.from(rows, (row, at) => [row, value[at]]));
      const importance = new Map(important ? Array.from(important.rows, (row, at) => [row, important.importance[at]]) : []);
      return { of, important, scores, importance, firing: firing(this.#finder, task), rows: [] };
    }

    #fill(task, found) {
      const { of, important, firing } = found;
      [this.#task, this.#written, this.#found, this.#most] = [task, null, found, ROWS];
      say(this.#part("about"), task.description);
      this.#part("facts").replaceChildren(...facts(task).map(([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, text))));
      const read = atlas.leaders.leaders(this.#manifest, task, of, important?.rows.length ? important : null);
      this.#part("leaders").replaceChildren(...(task.hypotheses.length ? [] : [make("p", { class: "note" }, "No hypothesis is tested on it.")]), ...read);
      // By what they matter, or where that is not known by how much of it they fire on.
      const weight = ({ row, sum }) => this.#found.importance.get(row) ?? sum - task.labels.name.length;
      this.#ordered = [...firing].sort((one, other) => weight(other) - weight(one) || one.row - other.row);
      this.#part("sort").querySelector('[value="importance"]').hidden = !important;
      this.#part("sort").value = "label";
      this.#part("shown").value = "fires";
      this.#draw();
    }

    // --- experts by label ---

    #draw() {
      const task = this.#task;
      const shown = this.#ordered.slice(0, this.#most);
      const { labels } = task;
      for (const name of ["heat", "controls", "twin", "says"]) this.#part(name).hidden = !shown.length;
      const rest = Math.min(HIGHEST, this.#ordered.length) - shown.length;
      this.#part("more").hidden = rest <= 0;
      this.#part("more").firstElementChild.textContent = `${count(Math.min(ROWS, rest))} more ${rest === 1 ? "expert" : "experts"}`;
      this.#part("chosen").replaceChildren(...this.#chosen(shown.length));
      if (!shown.length) return;
      const rows = this.#found.rows = this.#sorted(shown);
      fill(this.#finder, task, rows);
      const isLift = this.#part("shown").value === "lift";
      const most = isLift ? Math.max(2, ...rows.map(({ lift }) => Math.max(...lift))) : 1;
      const shade = isLift ? (row, label) => Math.log(rows[row].lift[label]) / Math.log(most) : (row, label) => rows[row].fires[label];
      this.#legend(isLift ? ["1× or less", `${number(most)}×`] : ["0", "100\u202f% of its rows"]);
      const { expert, title } = this.#manifest.experts;
      this.#heat.show({
        labels: labels.name, shade,
        rows: rows.map(({ row }) => ({ number: expert[row], text: atlas.clusters.plain(title[row]), way: route.way({ expert: expert[row], at: null }) })),
        tell: (at, label) => this.#told(rows[at], label),
        summary: `What ${count(rows.length)} experts do on ${count(labels.name.length)} labels of ${task.title}. The table below says the same.`,
      });
      this.#tabulate();
    }

    #chosen(shown) {
      const all = this.#ordered.length;
      if (!all) return ["No expert fires on any of its rows."];
      const by = this.#found.important ? "the most important on it" : "those that fire on most of it";
      const many = counted(all, "expert fires", "experts fire");
      const which = shown === all ? "" : ` Here are ${count(shown)}, ${by}${all > HIGHEST && shown >= HIGHEST ? "; the list of experts has the others" : ""}.`;
      const order = this.#part("sort").value === "label" ? " Those that fire on at least half of the rows of every label stand first, those that do so on no label last." : "";
      return [`${many} on at least one of its rows.${which} `, term("fires", "Fires"), ": the share of a label’s rows; ", term("lift", "lift"), `: that share over the expert’s rate on the corpus.${order}`];
    }

    #sorted(rows) {
      const { expert } = this.#manifest.experts;
      const { scores, importance } = this.#found;
      const labels = this.#task.labels.name.length;
      const key = {
        label: ({ covered, at }) => (covered === labels ? -1 : covered ? at : labels + at),
        importance: ({ row }) => -(importance.get(row) ?? 0),
        score: ({ row }) => -(scores.get(row) ?? -Infinity),
        number: ({ row }) => expert[row],
      }[this.#part("sort").value];
      return [...rows].sort((one, other) => key(one) - key(other) || other.most - one.most || expert[one.row] - expert[other.row]);
    }

    #told({ row, fired, fires, lift }, label) {
      const { expert, title } = this.#manifest.experts;
      const { name, rows } = this.#task.labels;
      const rate = fired[label] ? `${count(fired[label])} of ${count(rows[label])} rows of ${name[label]} (${percent(fires[label])}), lift ${number(lift[label])}` : `none of ${count(rows[label])} rows of ${name[label]}`;
      return `Expert ${expert[row]}, ${atlas.clusters.plain(title[row])}: fires on ${rate}`;
    }

    #legend([least, most]) {
      this.#part("legend").replaceChildren(make("span", {}, least), make("span", { class: "shades", "aria-hidden": "true" }), make("span", {}, most));
    }

    // Made when it is opened: most readers have the picture.
    #tabulate() {
      if (!this.#part("twin").open) return;
      const { name } = this.#task.labels;
      const { scores, importance, important, rows } = this.#found;
      const heads = ["Expert", "Labels it fires on in at least half of their rows", ...(important ? [term("importance on a task", "Importance on it")] : []), "Best score"];
      this.#part("table").replaceChildren(atlas.tables.table(heads, rows.map(({ row, fires, at }) => {
        const covered = Array.from(fires.keys()).filter((label) => fires[label] >= HALF);
        const told = covered.length === name.length ? `all ${count(name.length)}` : covered.map((label) => `${name[label]} ${percent(fires[label])}`).join(", ") || `none; most on ${name[at]}, ${percent(fires[at])}`;
        return make("tr", {}, atlas.leaders.named(this.#manifest, row), make("td", { class: "words" }, told),
          ...(important ? [make("td", {}, importance.has(row) ? percent(importance.get(row)) : "–")] : []), make("td", {}, scores.has(row) ? atlas.words.score(scores.get(row)) : "–"));
      })));
    }
  }

  // What there is to know of a task before any expert is asked.
  function facts({ labels, cyclic, rows, templates, report_rows: report, dropped, has_text: isText, needs, occurrences, absent }) {
    const what = isText ? counted(rows, "sentence") : counted(rows, "row of numbers", "rows of numbers");
    const made = templates ? ` from ${counted(templates, "template")}` : "";
    const lost = dropped ? `; ${count(dropped)} more are left out, whose label would have been cut off` : "";
    return [
      ["Labels", `${count(labels.name.length)}${cyclic ? ", which close a cycle" : ""}`],
      ["Rows", `${what}${made}${report ? `; scores are from ${count(report)} of them, which had no part in the ranking` : ""}${lost}`],
      ["Needs", needs || (isText ? "Nothing that only some models have." : "Nothing of a model's tokenizer: its rows are given as numbers.")],
      ["In training", occurrences === null ? "It is not known how often its labels occur in the training text." : `The tokens of its labels occur ${counted(occurrences, "time")} in the training text, in whatever sense.`],
      ...(absent.length ? [["Lacks", absent.join(" ")]] : []),
    ];
  }

  // Of each expert that fires on some row: how much of the labels (`sum` of shares), the label where it fires most (`at`) and how much there
  // (`most`), and how many it covers.
  function firing(finder, task) {
    const found = new Map();
    task.labels.name.forEach((_, at) => finder.firing({ task, at }, 0, (row, share) => {
      const one = found.get(row) ?? { row, sum: 0, at, most: 0, covered: 0 };
      one.sum += share;
      if (share > one.most) [one.at, one.most] = [at, share];
      if (share >= HALF) one.covered += 1;
      found.set(row, one);
    }));
    return [...found.values()];
  }

  // Gives these experts their row of the matrix: the rows of each label that they fire on, the share, and the lift.
  function fill(finder, task, rows) {
    const labels = task.labels.name.length;
    const bare = new Map(rows.filter(({ fires }) => !fires).map((one) => [one.row, Object.assign(one, { fired: new Uint32Array(labels), fires: new Float32Array(labels), lift: new Float32Array(labels) })]));
    if (!bare.size) return;
    task.labels.name.forEach((_, at) => finder.firing({ task, at }, 0, (row, share, lift) => {
      const one = bare.get(row);
      if (one) [one.fired[at], one.fires[at], one.lift[at]] = [Math.round(share * task.labels.rows[at]), share, lift];
    }));
  }

  atlas.task = { Page };
})();
