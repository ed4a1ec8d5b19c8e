"use strict";
// The experts that were found, in order: as cards or as a table, of which only what is near the sight stands in the page.
(() => {
  const { route } = atlas;

  class List {
    #root; #finder; #facts; #cards; #table; #toolbar; #found = null; #finding = null; #view = null; #isArriving = true; #entering = null; #tops = new Map();

    // classes: of shapes, or null.
    constructor(root, manifest, finder, classes) {
      this.#root = root;
      this.#finder = finder;
      this.#facts = new atlas.facts.Facts(manifest, classes);
      const pane = root.querySelector("[data-pane]");
      this.#cards = new atlas.cards.Cards(root, pane, manifest, this.#facts);
      this.#table = new atlas.table.Table(root, pane, this.#facts);
      this.#toolbar = new atlas.toolbar.Toolbar(root, pane, new atlas.exporting.Exporter(manifest, this.#facts));
      // By Back, a pasted address or a link: this comes before the hashchange of which route.js makes a new state.
      addEventListener("popstate", () => { this.#isArriving = true; });
      // Before anything of the page is another.
      route.changes.addEventListener("change", () => {
        if (this.#entering !== route.finding(route.state)) this.#entering = null;
        if (this.#view?.element.checkVisibility()) this.#tops.set(this.#finding, this.#view.rows.order[this.#view.rows.top]);
      });
      atlas.pointed.changes.addEventListener("change", () => { for (const { rows } of [this.#cards, this.#table]) rows.flag("pointed", atlas.pointed.row); });
    }

    show(state, found) {
      const finding = route.finding(state);
      const isOther = this.#found !== null && finding !== this.#finding;
      const held = isOther ? null : this.#held();
      [this.#found, this.#finding] = [found, finding];
      this.#turn(state);
      if (isOther) this.#view.rows.rewind();
      this.#view.show(found);
      this.#toolbar.show(found);
      this.#choose(state);
      if (held) this.#regain(held);
      // Once all of the page shows this finding, and has its height.
      queueMicrotask(() => {
        this.#arrive(isOther);
        if (this.#entering === finding) this.enter();
      });
    }

    look(state) {
      this.#toolbar.look(state);
      const held = this.#held();
      const isTurned = this.#turn(state);
      if (!isTurned) this.#view.look(state);
      this.#choose(state);
      if (held && isTurned) this.#focus(held.at);
      else if (held) this.#regain(held);
      queueMicrotask(() => this.#arrive(false));
    }

    // Where the reader comes from elsewhere the chosen expert is in sight; without one, another list stands where it was left.
    #arrive(isOther) {
      if (!this.#isArriving) return;
      this.#isArriving = false;
      if (!this.#view.element.checkVisibility()) return;
      const { at } = route.state;
      const place = at === null ? -1 : this.#found.rows.indexOf(this.#finder.row(at));
      if (place >= 0) this.#view.rows.reveal(place, this.#view.head ?? 0);
      else if (isOther) this.#view.rows.lead(this.#found.rows.indexOf(this.#tops.get(this.#finding)), this.#view.head ?? 0);
    }

    // To the first expert, of a search that may still be under way.
    enter() {
      const wanted = route.finding(route.state);
      this.#entering = wanted === this.#finding ? null : wanted;
      if (this.#entering !== null || !this.#view.element.checkVisibility()) return;
      const { rows } = this.#found;
      if (!rows.length) return;
      route.adjust({ at: this.#facts.expert(rows[0]) });
      this.#focus(0);
    }

    // Where in the list the keyboard is, and on what.
    #held() {
      const focused = document.activeElement;
      const item = focused?.closest("[data-row]");
      if (!item || !this.#view?.element.contains(item)) return null;
      return { at: this.#found.rows.indexOf(Number(item.dataset.row)), on: focused.matches("[data-star]") ? "[data-star]" : "a" };
    }

    // Where the expert that had the keyboard is gone, its follower has it.
    #regain({ at, on }) {
      if (this.#view.element.contains(document.activeElement)) return;
      const item = this.#view.rows.item(this.#found.rows[Math.min(at, this.#found.rows.length - 1)]);
      (item?.querySelector(on) ?? this.#root.querySelector("[data-gallery]")).focus({ preventScroll: true });
    }

    // Gallery or table. ► whether it is another than before.
    #turn({ view: name }) {
      const view = name === "table" ? this.#table : this.#cards;
      if (view === this.#view) return false;
      const before = this.#view;
      const top = before ? before.rows.order[before.rows.top] : undefined;
      this.#view = view;
      this.#root.querySelector("[data-pane]").dataset.shows = name;
      for (const one of [this.#cards, this.#table]) one.element.hidden = one !== view;
      if (before) { view.show(this.#found); before.rows.clear(); this.#reveal(top); }
      return before !== null;
    }

    #choose({ at }) {
      const row = at === null ? null : this.#finder.row(at);
      for (const { rows } of [this.#cards, this.#table]) rows.flag("chosen", row);
    }

    // How many experts stand in a line: what the arrow keys up and down go by.
    get columns() { return this.#view.rows.columns; }

    // Chooses the expert so many places on from the one that has the keyboard, else from the chosen one, else the first in sight.
    move(by) {
      const { rows } = this.#found;
      if (!rows.length || !this.#view.element.checkVisibility()) return;
      const place = this.#place();
      const at = place < 0 ? this.#view.rows.top : Math.max(0, Math.min(rows.length - 1, place + by));
      route.adjust({ at: this.#facts.expert(rows[at]) });
      this.#focus(at);
    }

    #place() {
      const { rows } = this.#found;
      const focused = document.activeElement?.closest?.("[data-row]");
      if (focused && this.#view.element.contains(focused)) return rows.indexOf(Number(focused.dataset.row));
      const { at } = route.state;
      return at === null ? -1 : rows.indexOf(this.#finder.row(at));
    }

    // Gives an expert the keyboard. ► whether it is in the list.
    focus(expert) {
      const row = this.#finder.row(expert);
      const at = row < 0 ? -1 : this.#found.rows.indexOf(row);
      if (at < 0 || !this.#view.element.checkVisibility()) return false;
      this.#focus(at);
      return true;
    }

    #focus(at) {
      const { rows } = this.#view;
      rows.reveal(at, this.#view.head ?? 0);
      rows.item(rows.order[at])?.querySelector("a").focus({ preventScroll: true });
    }

    #reveal(row) {
      const at = row === undefined ? -1 : this.#found.rows.indexOf(row);
      if (at > 0) this.#view.rows.reveal(at, this.#view.head ?? 0);
    }
  }

  atlas.list = { List };
})();
