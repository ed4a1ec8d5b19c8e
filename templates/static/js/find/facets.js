"use strict";
// The controls that narrow the list: what they are set to goes into the address, and the address sets them. Each says how many experts
// it would leave, all other filters as they are.
(() => {
  const { make, count, percent, say, spelled, token } = atlas.words;
  const { route } = atlas;
  const KEPT = "atlas-open-facets";   // which ones are unfolded, while this tab is open
  const ANY = "";

  // Storage may be missing or forbidden on a page opened from disk; what is unfolded is not worth an error.
  const unfolded = {
    get() { try { return JSON.parse(sessionStorage.getItem(KEPT)) ?? {}; } catch { return {}; } },
    set(names) { try { sessionStorage.setItem(KEPT, JSON.stringify(names)); } catch { /* it lasts until the page closes */ } },
  };

  // A group of controls that folds. `filtered(state)`: what it filters by, in a few words, or ""; `without`: the state's part that clears
  // it; `count(counts)` writes how many experts each choice would leave.
  class Facet {
    #details; #filtered; #clear; #part; #counts = null;

    constructor(root, open, part) {
      this.root = root;
      this.#part = part;
      this.#details = root.querySelector("details");
      this.#filtered = root.querySelector("[data-filtered]");
      this.#clear = root.querySelector("[data-clear]");
      root.hidden = false;
      const { facet: name } = root.dataset;
      if (typeof open[name] === "boolean") this.#details.open = open[name];   // any page from disk may write into its storage
      this.#details.addEventListener("toggle", () => {
        if (this.#details.open !== unfolded.get()[name]) unfolded.set({ ...unfolded.get(), [name]: this.#details.open });
        this.draw();
      });
      this.#clear.addEventListener("click", () => {
        route.set(this.#part.without());
        root.querySelector("summary").focus();
      });
    }

    get isOpen() { return this.#details.open; }

    call(title) {
      this.root.setAttribute("aria-label", spelled(title));
      this.#clear.setAttribute("aria-label", spelled(`Clear ${title}`));
      say(this.root.querySelector("[data-title]"), title);
    }

    show(state) {
      const filtered = this.#part.filtered(state);
      this.#filtered.replaceChildren(...token(filtered));
      this.#clear.hidden = filtered === "";
      this.root.classList.toggle("narrows", filtered !== "");
      this.#part.show?.(state);
    }

    // New counts are written when they are next drawn: those of a folded facet once it opens.
    next(counts) { this.#counts = counts; }

    draw() {
      if (this.#counts === null || !this.isOpen) return;
      this.#part.count?.(this.#counts);
      this.#counts = null;
    }
  }

  // What there is to choose of one task; how many experts have it is loaded once it is in sight.
  class Branch {
    #choices; #counted; #own; #chosen; #counts = null; #before = [];

    // own(state): those of its choices that are made.
    constructor(title, choices, load, counted, own, root) {
      [this.#choices, this.#counted, this.#own] = [choices, counted, own];
      this.#chosen = make("span", { class: "filtered" });
      this.element = make("details", { class: "branch" }, make("summary", {}, title, " ", this.#chosen), choices.element);
      this.element.addEventListener("toggle", async () => {
        if (!this.element.open) return;
        try {
          await load();
          this.#draw();
        } catch (error) { atlas.words.trouble(root, error.message); }
      });
    }

    // One that was not chosen here, but by a link or a suggestion, comes in sight with the facet that it is in.
    show(state, facet) {
      const own = this.#own(state);
      this.#choices.show(own);
      this.#chosen.textContent = own.length ? `${own.length} chosen` : "";
      if (own.some((name) => !this.#before.includes(name))) this.element.open = facet.open = true;
      this.#before = own;
    }

    count(counts) {
      this.#counts = counts;
      this.#draw();
    }

    #draw() { if (this.element.open && this.#counts) this.#choices.draw(this.#counted(this.#counts)); }
  }

  class Facets {
    #root; #manifest; #finder; #classes; #form; #facets = []; #drawing = null; #last = null;

    // classes: of shapes, or null.
    constructor(root, manifest, finder, classes) {
      [this.#root, this.#manifest, this.#finder, this.#classes] = [root, manifest, finder, classes];
      this.#form = root.querySelector("[data-facets]");
      const labelled = manifest.tasks.filter(({ labels }) => labels.name.length);
      if (labelled.length) {
        this.#tasks(labelled);
        this.#labels(labelled);
      }
      if (labelled.some(({ hypotheses }) => hypotheses.length)) this.#hypotheses(labelled);
      if (classes) this.#shapes();
      if (manifest.map?.clusters.name.length) this.#clusters();
      this.#activities();
      for (const amount of finder.amounts) this.#histogram(amount);
      this.#form.querySelector("[data-bars-note]").hidden = !finder.amounts.length;
      this.#form.hidden = false;
      this.#form.addEventListener("submit", (event) => event.preventDefault());
      this.#form.addEventListener("change", ({ target }) => this.#changed(target));
      this.#form.addEventListener("input", ({ target }) => { if (target.name === "fires") this.#slid(target); });
      new atlas.drawer.Drawer(root, this.#form);
    }

    show(state, { counts }) {
      this.#last = counts;
      this.#form.elements.marked.checked = state.marked;
      this.#lead(state);
      for (const facet of this.#facets) {
        facet.show(state);
        facet.next(counts);
      }
      // The counts that are in sight come in one go, and are painted with the list.
      cancelAnimationFrame(this.#drawing);
      this.#drawing = requestAnimationFrame(() => this.#draw());
    }

    // The pages of the one task and the one cluster that are chosen.
    #lead({ task, cluster: [cluster, ...others] }) {
      const name = this.#manifest.map?.clusters.name[others.length ? NaN : Number(cluster)];
      const pages = { ofTask: [task, this.#finder.task(task)?.title], ofCluster: [Number(cluster), name && atlas.clusters.short(name)] };
      for (const [page, [which, title]] of Object.entries(pages)) {
        const link = this.#form.querySelector(`[data-leads="${page}"]`);
        link.hidden = title === undefined;
        if (title === undefined) continue;
        link.href = route.link({ [page]: which });
        say(link, `The page of ${title}`);
      }
    }

    #draw() {
      write(this.#form.querySelector('[data-amount="marked"]'), this.#last.marked());
      for (const facet of this.#facets) facet.draw();
    }

    // --- the controls ► the address ---

    #changed({ name, value, checked }) {
      const { state } = route;
      if (name === "order" || name === "marked") route.set({ [name]: checked });
      else if (name === "task" || name === "hypothesis") route.set({ [name]: value === ANY ? null : value, ...(name === "task" ? this.#ofTask(value) : {}) });
      else if (name === "mode") this.#asking({ mode: value });
      else if (["label", "shape", "cluster", "activity"].includes(name)) {
        const others = state[name].filter((one) => one !== value);
        route.set({ [name]: checked ? [...others, value] : others });
      }
    }

    // A hypothesis of another task says nothing of claims about this one.
    #ofTask(task) { return task !== ANY && route.state.hypothesis !== null && !route.state.hypothesis.startsWith(`${task}:`) ? { hypothesis: null } : {}; }

    #slid({ value }) {
      this.#fires(Number(value));
      this.#asking({ fires: Number(value) }, "fires");
    }

    // How labels are asked for: without one, nothing else is found.
    #asking(how, by) {
      if (route.state.label.length) route.set(how, by);
      else route.adjust(how);
    }

    #fires(share) {
      this.#form.elements.fires.setAttribute("aria-valuetext", percent(share));
      this.#form.querySelector("[data-value=fires]").textContent = percent(share);
    }

    // --- building ---

    #place(name) { return this.#form.querySelector(`[data-facet="${name}"]`); }

    #add(name, part) {
      const facet = new Facet(this.#place(name), unfolded.get(), part);
      this.#facets.push(facet);
      return facet;
    }

    #tasks(labelled) {
      const choices = new atlas.choices.Choices("task", [{ value: ANY, text: "anything, or nothing" }, ...labelled.map(({ name, title }) => ({ value: name, text: title }))], { of: "a task", type: "radio" });
      this.#place("task").querySelector("[data-choices]").append(choices.element);
      const title = (name) => labelled.find((task) => task.name === name)?.title ?? name;
      const supported = this.#place("task").querySelector('[data-amount="order"]');
      this.#add("task", {
        filtered: ({ task, order }) => [task === null ? "" : title(task), order ? "order" : ""].filter(Boolean).join(", "),
        without: () => ({ task: null, order: false }),
        show: ({ task, order }) => {
          choices.show([task ?? ANY]);
          this.#form.elements.order.checked = order;
        },
        count: (counts) => {
          const about = counts.tasks();
          choices.draw([about.get(null), ...labelled.map(({ task }) => about.get(task))], { from: 1 });
          write(supported, counts.orders());
        },
      });
    }

    // Radios, task by task; those of the chosen task only.
    #hypotheses(labelled) {
      const place = this.#place("hypothesis").querySelector("[data-choices]");
      const any = new atlas.choices.Choices("hypothesis", [{ value: ANY, text: "any, or none" }], { of: "hypotheses", type: "radio" });
      const tasks = labelled.filter(({ hypotheses }) => hypotheses.length).map((task) => {
        const options = task.hypotheses.map(({ hypothesis, title }) => ({ value: `${task.name}:${hypothesis}`, text: title }));
        const choices = new atlas.choices.Choices("hypothesis", options, { of: `hypotheses of ${task.title}`, type: "radio" });
        const own = ({ hypothesis }) => options.filter(({ value }) => value === hypothesis).map(({ value }) => value);
        return { task, own, branch: new Branch(task.title, choices, () => this.#finder.loadReadable(task), (counts) => counts.hypotheses(task), own, this.#root) };
      });
      place.append(any.element, ...tasks.map(({ branch }) => branch.element));
      this.#add("hypothesis", {
        filtered: ({ hypothesis }) => (hypothesis === null ? "" : this.#finder.hypothesis(hypothesis)?.title ?? hypothesis),
        without: () => ({ hypothesis: null }),
        show: (state) => {
          any.show([state.hypothesis ?? ANY]);
          for (const { task, own, branch } of tasks) {
            branch.element.hidden = state.task !== null && state.task !== task.name && own(state).length === 0;
            branch.show(state, this.#details("hypothesis"));
          }
          this.#score(this.#finder.hypothesis(state.hypothesis ?? ""));
        },
        count: (counts) => { for (const { branch } of tasks) branch.count(counts); },
      });
    }

    // The score is the best of any hypothesis, or that of the chosen one, by its own measure.
    #score(asked) {
      const measure = asked ? asked.task.hypotheses[asked.at].measure : "R²";
      this.#facets.find(({ root }) => root.dataset.facet === "score")?.call(`${asked ? "Score" : "Best score"} (${measure})`);
    }

    #labels(labelled) {
      const tasks = labelled.map((task) => {
        const options = task.labels.name.map((title, at) => ({ value: `${task.name}:${title}`, text: title, mark: [swatch(task, at)] }));
        const choices = new atlas.choices.Choices("label", options, { of: `labels of ${task.title}` });
        const own = ({ label }) => label.filter((name) => this.#finder.label(name)?.task === task);
        return new Branch(task.title, choices, () => this.#finder.loadLabels(task), (counts) => counts.labels(task), own, this.#root);
      });
      this.#place("label").querySelector("[data-labels-of]").append(...tasks.map(({ element }) => element));
      const name = (label) => this.#finder.label(label)?.title ?? label;
      this.#add("label", {
        filtered: ({ label }) => (label.length > 1 ? `${label.length} labels` : label.map(name).join("")),
        without: () => ({ label: [] }),
        show: (state) => {
          for (const radio of this.#form.querySelectorAll("[name=mode]")) radio.checked = radio.value === state.mode;
          this.#form.elements.fires.value = state.fires;
          this.#fires(state.fires);
          for (const task of tasks) task.show(state, this.#details("label"));
        },
        count: (counts) => { for (const task of tasks) task.count(counts); },
      });
    }

    #details(name) { return this.#place(name).querySelector("details"); }

    #shapes() {
      const { names, expected } = this.#classes;
      const chance = (name, at) => (this.#classes.isClaim(name) ? [make("span", { class: "chance" }, `expected by chance: ${expected[at]}`)] : []);
      this.#many("shape", names.map((name, at) => ({ value: name, text: name, note: chance(name, at) })), "shapes", (counts) => counts.shapes());
    }

    #clusters() {
      const { name } = this.#manifest.map.clusters;
      this.#many("cluster", name.map((text, at) => ({ value: String(at), text })), "clusters", (counts) => counts.clusters(), { few: true });
    }

    #activities() {
      const names = atlas.filters.ACTIVITIES;
      const counted = (counts) => { const left = counts.activities(); return names.map((name) => left[name]); };
      this.#many("activity", names.map((value) => ({ value, text: value })), "kinds of activity", counted);
    }

    // A facet of boxes, any of which may be met.
    #many(key, options, of, counted, how = {}) {
      const choices = new atlas.choices.Choices(key, options, { of, ...how });
      this.#place(key).querySelector("[data-choices]").append(choices.element);
      const text = (value) => options.find((option) => option.value === value)?.text ?? value;
      this.#add(key, {
        filtered: (state) => (state[key].length > 1 ? `${state[key].length} of them` : state[key].map(text).join("")),
        without: () => ({ [key]: [] }),
        show: (state) => choices.show(state[key]),
        count: (counts) => choices.draw(counted(counts)),
      });
    }

    #histogram(amount) {
      const { key } = amount;
      const brush = new atlas.brush.Brush(amount);
      this.#place(key).querySelector("summary").after(brush.element);
      brush.addEventListener("change", () => route.set({ [key]: brush.range }, key));
      this.#add(key, {
        filtered: (state) => (state[key] === null ? "" : atlas.brush.span(amount, state[key])),
        without: () => ({ [key]: null }),
        show: (state) => brush.show(state[key]),
        count: (counts) => brush.draw({ all: counts.bins(key, { all: true }), passing: counts.bins(key) }),
      });
    }
  }

  function write(place, number) {
    place.textContent = count(number);
    place.closest("label").classList.toggle("none", number === 0);
  }

  function swatch(task, at) {
    const mark = make("span", { class: "swatch" });
    mark.style.setProperty("--light", task.labels.colours.light[at]);
    mark.style.setProperty("--dark", task.labels.colours.dark[at]);
    return mark;
  }

  atlas.facets = { Facets };
})();
