"use strict";
// What part of the map is seen: its steps to px on the canvas and back.
(() => {
  const PAD = 24;    // px around the whole map
  const MOST = 60;   // times the whole

  class View {
    #middle; #half; #size = null; #x; #y; #zoom = 1;

    // The place in the middle of the whole map, and how far it goes from there.
    constructor(middle, half) {
      [this.#middle, this.#half] = [middle, half];
      [this.#x, this.#y] = middle;
    }

    // tools: where something lies over the canvas, from there to its lower right corner. The whole map is drawn beside it.
    fit(width, height, tools = { left: width, top: height }) {
      const isCovered = tools.left < width && tools.top < height;
      this.#size = { width, height, tools, clear: { width: isCovered ? tools.left : width, height } };
    }

    get isFitted() { return this.#size !== null; }
    get width() { return this.#size.width; }
    get height() { return this.#size.height; }
    get zoom() { return this.#zoom; }
    get isWhole() { return this.#zoom === 1; }

    // px to a step.
    get scale() {
      const { width, height } = this.#size.clear;
      return this.#zoom * Math.max(1e-6, Math.min((width - 2 * PAD) / (2 * this.#half[0]), (height - 2 * PAD) / (2 * this.#half[1])));
    }

    // px² that the whole map takes, as it is drawn when nothing is zoomed in.
    get area() { return 4 * this.#half[0] * this.#half[1] * (this.scale / this.#zoom) ** 2; }

    // px at which the step 0 lies.
    get left() { return this.#size.clear.width / 2 - this.#x * this.scale; }
    get top() { return this.#size.clear.height / 2 + this.#y * this.scale; }

    across(x) { return this.left + x * this.scale; }
    down(y) { return this.top - y * this.scale; }
    under(across, down) { return [(across - this.left) / this.scale, (this.top - down) / this.scale]; }

    shows(x, y, margin = PAD) {
      const [across, down] = [this.across(x), this.down(y)];
      return across >= margin && down >= margin && across <= this.width - margin && down <= this.height - margin;
    }

    // Whether a box of px is all in sight.
    isClear(left, right, top, bottom) {
      const { width, height, tools } = this.#size;
      return left >= 0 && top >= 0 && right <= width && bottom <= height && (right <= tools.left || bottom <= tools.top);
    }

    go(x, y, zoom = this.#zoom) {
      this.#zoom = Math.max(1, Math.min(MOST, zoom));
      const inside = (value, axis) => Math.max(this.#middle[axis] - this.#half[axis], Math.min(this.#middle[axis] + this.#half[axis], value));
      [this.#x, this.#y] = this.isWhole ? this.#middle : [inside(x, 0), inside(y, 1)];
    }

    pan(dx, dy) { this.go(this.#x - dx / this.scale, this.#y + dy / this.scale); }

    // What is under a place on the canvas, else in its middle, stays there.
    zoomBy(factor, across = this.#size.clear.width / 2, down = this.#size.clear.height / 2) {
      const [x, y] = this.under(across, down);
      const zoom = Math.max(1, Math.min(MOST, this.#zoom * factor));
      const kept = this.#zoom / zoom;
      this.go(x + (this.#x - x) * kept, y + (this.#y - y) * kept, zoom);
    }

    whole() { this.go(...this.#middle, 1); }

    // "x,y,zoom" in whole steps; null for the whole map.
    get text() { return this.isWhole ? null : `${Math.round(this.#x)},${Math.round(this.#y)},${Number(this.#zoom.toFixed(2))}`; }

    // Goes where a text says; what is no place is the whole map.
    read(text) {
      const told = /^(-?\d{1,5}),(-?\d{1,5}),(\d{1,2}(?:\.\d{1,2})?)$/.exec(text ?? "");
      if (told) this.go(...told.slice(1).map(Number));
      else this.whole();
    }
  }

  atlas.view = { View };
})();
