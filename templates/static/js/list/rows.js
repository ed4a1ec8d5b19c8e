"use strict";
// The stretch of a long list that stands in the page: what is in sight, and some around it. All rows are equally high, so that where
// one lies is arithmetic; what scrolls may be a pane or the page.
(() => {
  const AROUND = 12;   // items on either side, at least
  const WHOLE = 64;    // so short a list stands in the page as a whole

  class Rows {
    #pane; #body; #view; #items = new Map(); #order = new Uint32Array(0); #flags = new Map(); #columns = 1; #pitch = 1; #drawn = null;

    // pane: what may scroll; body: holds the items. The view has make(row) ► a row's element; place(element, row, at), which sets what
    // depends on the list; spaces(before, after), which keeps the room, in px, of what is not in the page; drawn(), called after each change.
    constructor(pane, body, view) {
      [this.#pane, this.#body, this.#view] = [pane, body, view];
      const look = () => this.look();
      // Scrolling does not bubble; whatever scrolls, it is heard here.
      document.addEventListener("scroll", look, { capture: true, passive: true });
      addEventListener("resize", look);
      new ResizeObserver(look).observe(pane);
    }

    get columns() { return this.#columns; }
    get order() { return this.#order; }

    // The elements that stand in the page, in no order.
    items() { return this.#items.values(); }
    item(row) { return this.#items.get(row); }

    // Another list, or the same with other things to say: those items that stay are placed anew.
    show(order) {
      this.#order = order;
      this.#drawn = null;
      this.look();
    }

    // Every item is made anew.
    clear() {
      if ([...this.#items.values()].some((item) => item.contains(document.activeElement))) this.#pane.focus({ preventScroll: true });
      for (const item of this.#items.values()) item.remove();
      this.#items.clear();
      this.#drawn = null;
    }

    // px from one line of items to the next, and how many items stand in a line.
    lay(columns, pitch) {
      if (columns === this.#columns && pitch === this.#pitch) return;
      [this.#columns, this.#pitch] = [columns, pitch];
      this.#drawn = null;
    }

    // Puts into the page what the scrolled place asks for.
    look() {
      if (!this.#body.checkVisibility()) return;
      const [first, last] = this.#stretch();
      if (this.#drawn && first === this.#drawn[0] && last === this.#drawn[1]) return;
      this.#draw(first, last, this.#drawn === null);
      this.#drawn = [first, last];
      this.#view.drawn();
    }

    // The places that are to stand in the page: the first, and the one behind the last.
    #stretch() {
      const { length } = this.#order;
      if (length <= WHOLE) return [0, length];
      const [from, to] = this.#sight();
      const around = Math.max(to - from, Math.ceil(AROUND / this.#columns));
      return [Math.max(0, from - around) * this.#columns, Math.min(length, (to + around) * this.#columns)];
    }

    // The lines in sight: the first, and the one behind the last.
    #sight() {
      const { top, bottom } = this.#pane.getBoundingClientRect();
      const [above, below] = [Math.max(0, top), Math.min(innerHeight, bottom)];
      const start = this.#start();
      const lines = Math.ceil(this.#order.length / this.#columns);
      const line = (y) => Math.max(0, Math.min(lines, (y - start) / this.#pitch));
      return below <= above ? [0, 0] : [Math.floor(line(above)), Math.ceil(line(below))];
    }

    // Where in the window the first line begins, or would.
    #start() { return this.#body.getBoundingClientRect().top; }

    #draw(first, last, anew) {
      this.#drop(new Set(this.#order.subarray(first, last)));
      const lines = (places) => Math.ceil(places / this.#columns);
      this.#view.spaces(lines(first) * this.#pitch, (lines(this.#order.length) - lines(last)) * this.#pitch);
      let next = this.#body.querySelector(":scope > [data-row]");
      const end = this.#body.querySelector(":scope > [data-end]");
      for (let at = first; at < last; at += 1) {
        const row = this.#order[at];
        const before = this.#items.get(row);
        const item = before ?? this.#made(row);
        if (anew || !before) this.#view.place(item, row, at);
        if (item === next) next = this.#next(next);
        else this.#body.insertBefore(item, next ?? end);
      }
    }

    #next({ nextElementSibling: next }) { return next && "row" in next.dataset ? next : null; }

    #made(row) {
      const item = this.#view.make(row);
      item.dataset.row = row;
      this.#items.set(row, item);
      for (const [name, flagged] of this.#flags) if (flagged === row) flag(item, name, true);
      return item;
    }

    // Marks one row's item by a class, wherever it comes into the page; null takes the mark away.
    flag(name, row) {
      const before = this.#items.get(this.#flags.get(name));
      if (before) flag(before, name, false);
      this.#flags.set(name, row);
      const item = this.#items.get(row);
      if (item) flag(item, name, true);
    }

    // Takes all out of the page but these rows' items. The keyboard stays in the list.
    #drop(wanted) {
      const focused = document.activeElement;
      for (const [row, item] of this.#items) {
        if (wanted.has(row)) continue;
        if (item.contains(focused)) this.#pane.focus({ preventScroll: true });
        item.remove();
        this.#items.delete(row);
      }
    }

    // Scrolls as little as brings a place into sight; `head` px at the top of the pane are covered by what sticks there.
    reveal(at, head = 0) {
      const line = Math.floor(at / this.#columns);
      const { top, bottom } = this.#pane.getBoundingClientRect();
      const [above, below] = [Math.max(0, top) + head, Math.min(innerHeight, bottom)];
      const from = this.#start() + line * this.#pitch;
      const by = from < above ? from - above : from + this.#pitch > below ? from + this.#pitch - below : 0;
      if (by !== 0) this.#scroll(by);
      this.look();
    }

    // Scrolls so that a place's line is the first in sight. Where the page scrolls the pane moves too, and is measured again.
    lead(at, head = 0) {
      const by = () => this.#start() + Math.floor(at / this.#columns) * this.#pitch - Math.max(0, this.#pane.getBoundingClientRect().top) - head;
      if (at > 0) for (let pass = 0; pass < 2; pass += 1) this.#scroll(by());
      this.look();
    }

    // To the list's beginning, if that is above what is in sight.
    rewind() {
      this.#pane.scrollTop = 0;
      const start = this.#start();
      if (start < 0) scrollBy({ top: start, behavior: "instant" });
    }

    #scroll(by) {
      const before = this.#pane.scrollTop;
      this.#pane.scrollBy({ top: by, behavior: "instant" });
      const rest = by - (this.#pane.scrollTop - before);
      if (Math.abs(rest) >= 1) scrollBy({ top: rest, behavior: "instant" });
    }

    // The place of the first item that is in sight as a whole.
    get top() {
      const { top } = this.#pane.getBoundingClientRect();
      const line = Math.ceil((Math.max(0, top) - this.#start() - 1) / this.#pitch);
      return Math.max(0, Math.min(this.#order.length - 1, line * this.#columns));
    }
  }

  const STILL = 100;   // ms
  const pointer = { x: null, y: null };
  let scrolled = -Infinity;
  document.addEventListener("scroll", () => { scrolled = performance.now(); }, { capture: true, passive: true });
  document.addEventListener("pointermove", ({ screenX, screenY }) => { [pointer.x, pointer.y] = [screenX, screenY]; }, { capture: true, passive: true });

  // Calls over(element) for what the pointer comes upon, over(null) when it leaves. What scrolling brings under a resting pointer counts
  // once it has come to rest itself.
  function underPointer(body, over) {
    let waiting = null;
    let target = null;
    const now = () => {
      clearTimeout(waiting);
      waiting = null;
      over(target);
    };
    const wait = () => {
      const rest = scrolled + STILL - performance.now();
      if (rest > 0) waiting = setTimeout(wait, rest); else now();
    };
    const moves = ({ screenX, screenY }) => screenX !== pointer.x || screenY !== pointer.y;
    body.addEventListener("pointerover", (event) => {
      clearTimeout(waiting);
      target = event.target;
      if (moves(event)) now(); else wait();
    });
    body.addEventListener("pointermove", () => { if (waiting !== null) now(); });
    body.addEventListener("pointerout", ({ relatedTarget }) => {
      if (body.contains(relatedTarget)) return;
      target = null;
      now();
    });
  }

  // What was chosen is said too; what is pointed at is only seen.
  function flag(item, name, is) {
    item.classList.toggle(name, is);
    if (name !== "chosen") return;
    const link = item.querySelector("a");
    if (is) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
  }

  atlas.rows = { Rows, underPointer };
})();
