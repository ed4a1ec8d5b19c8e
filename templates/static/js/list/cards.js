"use strict";
// The list as cards: a small cloud, what the title says and rests on, the score strip, firing rate and importance.
(() => {
  const { make, number, count, percent, quoting, spelled, token, trouble } = atlas.words;
  const { known } = atlas.facts;
  const STRIP = 60;
  const WIDTH = 148;   // least; and these are all px
  const [ACROSS, DOWN] = [8, 16];   // between cards
  const [HEIGHT, REASON] = [182, 15];
  const BRIEF = 80;    // ms: what is passed by in less is not asked for
  const TOGETHER = 8;  // clouds that are drawn in one frame
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  // An empty card, to be copied: cheaper than making each of its elements.
  const PLAN = make("li", {},
    make("a", {}, make("canvas", { ...atlas.cloud.PICTURE, "aria-hidden": "true" }), make("span", { class: "name" }, make("b"), " ", make("span", { class: "title" }), make("span", { class: "rests" }))),
    make("div", { class: "reason" }), make("div", { class: "line" }), make("div", { class: "whose" }));

  class Cards {
    #root; #list; #facts; #manifest; #rows; #found = null; #turning = null; #drawn = 0; #filling = null; #waiting = null; #around = ["", ""];

    constructor(root, pane, manifest, facts) {
      [this.#root, this.#manifest, this.#facts] = [root, manifest, facts];
      this.#list = root.querySelector("[data-experts]");
      this.#rows = new atlas.rows.Rows(pane, this.#list, {
        make: (row) => this.#made(row), place: (item, row, at) => this.#place(item, row, at),
        spaces: (before, after) => this.#spaces(before, after), drawn: () => this.#fill(),
      });
      new ResizeObserver(() => this.#fit()).observe(this.#list);
      atlas.rows.underPointer(this.#list, (target) => this.#turn(target?.closest("li") ?? null));
      this.#list.addEventListener("focusin", ({ target }) => this.#turn(target.closest("li")));
      this.#list.addEventListener("focusout", ({ relatedTarget }) => { if (!this.#list.contains(relatedTarget)) this.#turn(null); });
      atlas.scheme.changes.addEventListener("change", () => { for (const item of this.#rows.items()) if (item.cloud) this.#paint(item); });
    }

    get element() { return this.#list; }
    get rows() { return this.#rows; }

    show(found) {
      const isFound = found.filters.some(({ facet }) => ["q", "label", "shape"].includes(facet));
      this.#found = found;
      this.#around = atlas.route.around();
      this.#lay(isFound);
      this.#rows.show(found.rows);
    }

    // Links lead on with what is looked at now.
    look() {
      const [before, after] = this.#around = atlas.route.around();
      for (const item of this.#rows.items()) item.firstChild.href = `${before}${this.#facts.expert(Number(item.dataset.row))}${after}`;
      this.#fit();
    }

    #fit() {
      this.#lay(this.#list.classList.contains("reasoned"));
      this.#rows.look();
    }

    // reasoned: there is a line for what a card was found by.
    #lay(reasoned) {
      const width = this.#list.clientWidth;   // measured before anything is written
      this.#list.classList.toggle("reasoned", reasoned);
      if (!width) return;
      const columns = Math.max(1, Math.floor((width + ACROSS) / (WIDTH + ACROSS)));
      const height = HEIGHT + (reasoned ? REASON : 0);
      this.#list.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
      this.#list.style.gridAutoRows = `${height}px`;
      this.#rows.lay(columns, height + DOWN);
    }

    #spaces(before, after) {
      this.#list.style.paddingBlockStart = `${before}px`;
      this.#list.style.paddingBlockEnd = `${after}px`;
    }

    #made(row) {
      const facts = this.#facts;
      const item = PLAN.cloneNode(true);
      const expert = facts.expert(row);
      const [link] = item.children;
      const [, name] = link.children;
      const [which, title, rests] = name.children;
      which.textContent = expert;
      title.append(...quoting(facts.title(row)));
      const on = facts.rests(row);
      if (on) rests.textContent = ` (${on})`;
      name.title = title.textContent + rests.textContent;
      link.setAttribute("aria-label", `Expert ${expert}: ${title.textContent}`);
      this.#corners(item, row);
      item.append(star(expert));
      return item;
    }

    #corners(item, row) {
      const task = this.#facts.coloured(row);
      const shape = this.#facts.shape(row);
      if (task) item.append(make("span", { class: "by", title: `The cloud is coloured by ${task.title}` }, task.title));
      if (shape) item.append(make("span", { class: "shape", title: "The shape of its cloud" }, shape));
    }

    #place(item, row, at) {
      const [before, after] = this.#around;
      item.setAttribute("aria-setsize", this.#rows.order.length);
      item.setAttribute("aria-posinset", at + 1);
      item.firstChild.href = `${before}${this.#facts.expert(row)}${after}`;
      item.children[1].replaceChildren(...reason(this.#found.reason(row)));
      this.#measure(item, row, this.#found.best(row));
    }

    // The strip and figures; drawn anew where another task's score takes the place of the one that is shown.
    #measure(item, row, best) {
      const [, , line, whose] = item.children;
      const shown = best ? `${best.task} ${best.hypothesis}` : "";
      if (item.shown === shown || this.#facts.of("silent", row)) return;
      item.shown = shown;
      const figure = (name, share) => (known(share) ? make("span", { title: `${name} ${percent(share)}` }, percent(share, { brief: true })) : make("span"));
      line.replaceChildren(best ? this.#strip(best) : make("span"), figure("firing rate", this.#facts.of("rate", row)), figure("importance", this.#facts.of("importance", row)));
      const { task, hypothesis } = best ? this.#facts.read(best) : {};
      whose.replaceChildren(...(best ? [make("span", {}, task.title), make("span", {}, `: ${hypothesis.title}`)] : []));
      whose.title = best ? spelled(`The score is of ${task.title}, ${hypothesis.title}`) : "";
    }

    #strip(best) {
      const { task, hypothesis } = this.#facts.read(best);
      return atlas.strip({ of: `${task.title}, ${hypothesis.title}`, measure: hypothesis.measure, ...best }, hypothesis.references, { width: STRIP });
    }

    // --- clouds ---

    // The words are painted first. Then come the clouds that are in memory, some to a frame; the rest is asked for unless the list is
    // flying by.
    #fill() {
      const now = performance.now();
      const isFlying = now - this.#drawn < BRIEF;
      this.#drawn = now;
      clearTimeout(this.#waiting);
      this.#waiting = setTimeout(() => {
        for (const item of this.#bare(false)) this.#load(item);
        this.#draw();   // what came meanwhile by another part's asking
      }, isFlying ? BRIEF : 0);
      this.#draw();
    }

    #draw() { this.#filling ??= requestAnimationFrame(() => this.#next()); }

    #next() {
      this.#filling = requestAnimationFrame(() => {
        const bare = this.#bare(true);
        for (const item of bare.slice(0, TOGETHER)) this.#load(item);
        if (bare.length > TOGETHER) this.#next(); else this.#filling = null;
      });
    }

    // The cards without a cloud: those whose cloud is in memory, or the others.
    #bare(here) {
      return [...this.#rows.items()].filter((item) => !item.cloud && atlas.payloads.isHere(atlas.cloud.shardOf(this.#manifest, Number(item.dataset.row))) === here);
    }

    async #load(item) {
      try {
        const cloud = await atlas.cloud.small(this.#manifest, Number(item.dataset.row));
        item.cloud = cloud;
        if (item.isConnected) this.#paint(item);
      } catch (error) { trouble(this.#root, error.message); }
    }

    #paint(item, yaw = 0) {
      atlas.cloud.picture(item.querySelector("canvas"), item.cloud, this.#facts.colours(Number(item.dataset.row)), yaw);
    }

    // The card under the pointer or the keyboard turns its cloud, and is the one that is pointed at.
    #turn(item) {
      if (item === this.#turning) return;
      const before = this.#turning;
      this.#turning = item;
      atlas.pointed.at(item ? Number(item.dataset.row) : null);
      if (before?.cloud) this.#paint(before);
      if (item && !still.matches) atlas.cloud.turn((yaw) => {
        if (this.#turning !== item || !item.isConnected) return false;
        if (item.cloud && !item.cloud.isFlat) this.#paint(item, yaw);
        return true;
      });
    }
  }

  // What a row was found by, as nodes.
  function reason(found) {
    if (!found) return [];
    if ("fires" in found) return [make("span", { class: "found" }, ...token(found.title)), make("span", {}, `: ${percent(found.fires)}, lift ${number(found.lift)}`)];
    if ("token" in found) return [`${percent(found.share)} of firings on “`, ...token(found.token), "”"];
    if ("word" in found) return [make("span", { class: "found" }, `“${found.word}”`), make("span", {}, ` in ${count(found.contexts)} top ${found.contexts === 1 ? "context" : "contexts"}`)];
    if ("shapes" in found) return [found.shapes.map(({ name, titles }) => `${name} on ${titles.join(", ")}`).join("; ")];
    return [found.number ? "its number" : "in its title"];
  }

  // The button that bookmarks an expert; it follows what other tabs and places do.
  function star(expert) {
    const button = make("button", { type: "button", class: "star", "aria-label": `Bookmark expert ${expert}` });
    starred(button, expert);
    return button;
  }

  // A filled star is a bookmark.
  function starred(button, expert) {
    const has = atlas.marks.has(expert);
    button.dataset.star = expert;
    button.setAttribute("aria-label", `Bookmark expert ${expert}`);
    button.setAttribute("aria-pressed", String(has));
    button.textContent = has ? "★" : "☆";
  }

  document.addEventListener("click", ({ target }) => {
    const button = target.closest?.("[data-star]");
    if (button) atlas.marks.toggle(Number(button.dataset.star));
  });
  atlas.marks.changes.addEventListener("change", () => {
    for (const button of document.querySelectorAll("[data-star]")) starred(button, Number(button.dataset.star));
  });

  atlas.cards = { Cards, star, starred, reason };
})();
