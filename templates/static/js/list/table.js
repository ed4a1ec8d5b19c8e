"use strict";
// The list as a table: the same experts in the same order, with columns of the reader's choice.
(() => {
  const { make, aligned, count, percent, interval, quoting, say } = atlas.words;
  const { known } = atlas.facts;
  const LINE = 28;   // px
  const STRIP = 96;
  const NARROW = 760;   // px of the pane, below which a title has less room
  const TITLE = 132;    // that is: px
  const NONE = "–";
  const shown = (value, told) => (known(value) ? told(value) : NONE);
  const share = (value) => shown(value, (one) => percent(one, { sign: false }));
  const three = (value) => shown(value, aligned);
  const whole = (value) => shown(value, count);

  // Its name; the term that defines it; the sort it stands for; px; whether it holds words; cell(facts, row, found) ► text or nodes; The first two are
  // always there.
  const COLUMNS = {
    expert: { title: "Expert", sort: "number", width: 76 },
    title: { title: "Title", sort: "title", width: 264, isWords: true, cell: titled },
    task: { title: "Claim about", width: 112, isWords: true, cell: (facts, row) => facts.claimed(row)?.title ?? "" },
    score: { title: "Score", term: "all-row r²", sort: "score", width: 232, cell: scored },
    read: { title: "Score of", width: 176, isWords: true, cell: whose },
    coverage: { title: "Labels covered", term: "coverage", sort: "coverage", width: 100, cell: (facts, row, { best }) => { const read = best(row); return read && known(read.covered) ? `${read.covered} of ${read.labels}` : NONE; } },
    rate: { title: "Firing rate (%)", term: "rate", sort: "rate", width: 84, cell: (facts, row) => share(facts.of("rate", row)) },
    importance: { title: "Importance (%)", term: "importance", sort: "importance", width: 96, cell: (facts, row) => share(facts.of("importance", row)) },
    shape: { title: "Shape", term: "shape classes", sort: "shape", width: 88, isWords: true, cell: (facts, row) => facts.shape(row) ?? "" },
    effective_dimension: { title: "Effective dimension", term: "effective dimension", sort: "effective_dimension", width: 88, cell: (facts, row) => three(facts.of("effective_dimension", row)) },
    dimensions_needed: { title: "Dimensions needed", term: "dimensions needed", sort: "dimensions_needed", width: 96, cell: (facts, row) => whole(facts.of("dimensions_needed", row)) },
    mean_norm: { title: "Mean norm", term: "norm", sort: "mean_norm", width: 72, cell: (facts, row) => three(facts.of("mean_norm", row)) },
    firings: { title: "Firings", term: "firing", width: 88, cell: (facts, row) => whole(facts.of("firings", row)) },
    cluster: { title: "Cluster", term: "clusters of the map", sort: "cluster", width: 176, isWords: true, cell: (facts, row) => { const name = facts.cluster(row); return name === null ? "" : quoting(name); } },
    orders: { title: "Orders supported", term: "order supported", width: 144, isWords: true, cell: (facts, row) => facts.orders(row).map(({ title }) => title).join(", ") },
    activity: { title: "Activity", term: "dense", width: 72, isWords: true, cell: (facts, row) => (facts.activity(row) === "neither" ? "" : facts.activity(row)) },
  };
  const FIXED = ["expert", "title"];
  const CHOSEN = Object.keys(COLUMNS).filter((name) => !FIXED.includes(name));   // by the reader
  const USUAL = ["score", "rate", "importance", "coverage", "shape", "effective_dimension", "dimensions_needed", "read"];   // unless the reader chooses
  const LEAST = 3;   // so many of them even where they have to be scrolled to
  const RISING = ["number", "title", "shape", "cluster"];   // sorts that begin with the least

  const widths = (names) => names.reduce((sum, name) => sum + COLUMNS[name].width, 0);

  // The columns that a state asks for, else those that a pane of this width has room for.
  function columns(state, width) {
    const fitting = (name, at) => at < LEAST || widths(FIXED) + widths(USUAL.slice(0, at + 1)) <= width;
    const wanted = state.columns === null ? USUAL.filter(fitting) : state.columns.split(",");
    return CHOSEN.filter((name) => wanted.includes(name));
  }

  class Table {
    #pane; #table; #head; #body; #ends; #facts; #rows; #found = null; #names = []; #kind = null; #around = ["", ""];

    constructor(root, pane, facts) {
      [this.#pane, this.#facts] = [pane, facts];
      this.#table = root.querySelector("[data-table]");
      this.#head = make("tr", { "aria-rowindex": 1 });
      this.#ends = ["data-begin", "data-end"].map((end) => make("tr", { [end]: "", class: "room", "aria-hidden": "true" }, make("td")));
      this.#body = make("tbody", {}, ...this.#ends);
      this.#table.append(make("colgroup"), make("thead", {}, this.#head), this.#body);
      this.#rows = new atlas.rows.Rows(pane, this.#body, {
        make: (row) => this.#made(row), place: (line, row, at) => this.#place(line, row, at),
        spaces: (...rooms) => this.#spaces(rooms), drawn: () => {},
      });
      this.#rows.lay(1, LINE);
      this.#head.addEventListener("click", ({ target }) => this.#sort(target.closest("[data-by]")?.dataset.by));
      this.#listen();
      new ResizeObserver(() => { if (this.#found && pane.clientWidth) this.look(atlas.route.state); }).observe(pane);
    }

    #listen() {
      const row = (target) => { const line = target?.closest?.("[data-row]"); return line && this.#body.contains(line) ? Number(line.dataset.row) : null; };
      atlas.rows.underPointer(this.#body, (target) => atlas.pointed.at(row(target)));
      this.#body.addEventListener("focusin", ({ target }) => atlas.pointed.at(row(target)));
      this.#body.addEventListener("focusout", ({ relatedTarget }) => { if (row(relatedTarget) === null) atlas.pointed.at(null); });
      this.#body.addEventListener("click", ({ target }) => {
        const at = row(target);
        if (at !== null && !target.closest("a, button")) atlas.route.adjust({ at: this.#facts.expert(at) });
      });
    }

    get element() { return this.#table; }
    get rows() { return this.#rows; }
    get head() { return this.#table.tHead.offsetHeight; }

    show(found) {
      this.#found = found;
      this.#around = atlas.route.around();
      this.#table.setAttribute("aria-rowcount", found.rows.length + 1);
      this.look(atlas.route.state);
      this.#heads();
      this.#rows.show(found.rows);
    }

    // Links lead on with what is looked at now. Other columns are another table.
    look(state) {
      const [before, after] = this.#around = atlas.route.around();
      for (const line of this.#rows.items()) line.querySelector("a").href = `${before}${this.#facts.expert(Number(line.dataset.row))}${after}`;
      const { clientWidth } = this.#pane;
      if (!clientWidth) return;   // out of the page: what stands here waits as it was left
      const isNarrow = clientWidth < NARROW;
      const names = [...FIXED, ...columns(state, clientWidth)];
      const kind = `${names.join()} ${isNarrow}`;
      if (kind === this.#kind) return;
      this.#kind = kind;
      this.#names = names;
      const width = (name) => (name === "title" && isNarrow ? TITLE : COLUMNS[name].width);
      this.#table.firstChild.replaceChildren(...names.map((name) => {
        const column = make("col", { class: `of-${name}` });
        if (name !== "title") column.style.inlineSize = `${width(name)}px`;   // it takes what is left
        return column;
      }));
      this.#table.style.minInlineSize = `${names.reduce((sum, name) => sum + width(name), 0)}px`;
      for (const { firstChild } of this.#ends) firstChild.colSpan = names.length;
      this.#heads();
      this.#rows.clear();
      this.#rows.look();
    }

    // --- the head ---

    #heads() {
      const focused = this.#head.contains(document.activeElement) ? document.activeElement.dataset.by : null;
      this.#head.replaceChildren(...this.#names.map((name) => this.#headed(name)));
      if (focused) this.#head.querySelector(`[data-by="${focused}"]`)?.focus({ preventScroll: true });
    }

    #headed(name) {
      const { title, sort, isWords, term = null } = COLUMNS[name];
      const cell = make("th", { scope: "col", "data-term": term, class: `of-${name}${isWords ? " words" : ""}` });
      if (!sort) { cell.append(make("span", {}, title)); return cell; }
      const { name: by, turned } = this.#found.sort;
      const rises = RISING.includes(sort) !== turned;
      if (by === sort) cell.setAttribute("aria-sort", rises ? "ascending" : "descending");
      cell.append(make("button", { type: "button", "data-by": sort }, title, ...(by === sort ? [make("span", { class: "way", "aria-hidden": "true" }, rises ? "↑" : "↓")] : [])));
      return cell;
    }

    #sort(name) {
      if (!name) return;
      const { name: by, turned } = this.#found.sort;
      atlas.toolbar.sort(name, by === name && !turned);
    }

    // --- the lines ---

    #spaces(rooms) {
      rooms.forEach((room, at) => {
        this.#ends[at].hidden = room === 0;
        this.#ends[at].firstChild.style.blockSize = `${room}px`;
      });
    }

    #made(row) {
      const [expert, title] = [this.#facts.expert(row), make("span", {}, ...quoting(this.#facts.title(row)))];
      const link = make("a", { "aria-label": `Expert ${expert}: ${title.textContent}` }, String(expert));
      const line = make("tr", {}, make("th", { scope: "row", class: "of-expert" }, make("span", {}, atlas.cards.star(expert), link)));
      for (const name of this.#names.slice(1)) line.append(make("td", { class: `of-${name}${COLUMNS[name].isWords ? " words" : ""}` }));
      return line;
    }

    #place(line, row, at) {
      const [before, after] = this.#around;
      line.setAttribute("aria-rowindex", at + 2);
      line.querySelector("a").href = `${before}${this.#facts.expert(row)}${after}`;
      this.#names.forEach((name, place) => {
        if (place === 0) return;
        const said = COLUMNS[name].cell(this.#facts, row, this.#found);
        const cell = line.children[place];
        say(cell, ...(Array.isArray(said) ? said : [said]));
        if (COLUMNS[name].isWords) cell.title = cell.textContent;
      });
    }
  }

  function titled(facts, row) {
    const on = facts.rests(row);
    return [make("span", { class: "titled" }, make("span", {}, ...quoting(facts.title(row))), ...(on ? [make("span", { class: "rests" }, ` (${on})`)] : []))];
  }

  function scored(facts, row, { best }) {
    const read = best(row);
    if (!read) return NONE;
    const { task, hypothesis } = facts.read(read);
    const of = { of: `${task.title}, ${hypothesis.title}`, measure: hypothesis.measure, ...read };
    return [make("span", { class: "scored" }, atlas.strip(of, hypothesis.references, { width: STRIP }), make("span", {}, interval(read.value, read.low, read.high)))];
  }

  function whose(facts, row, { best }) {
    const read = best(row);
    if (!read) return "";
    const { task, hypothesis } = facts.read(read);
    return `${task.title}: ${hypothesis.title}`;
  }

  atlas.table = { Table, COLUMNS, CHOSEN, columns };
})();
