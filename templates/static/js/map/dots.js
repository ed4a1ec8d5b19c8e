"use strict";
// All dots of the map, set down as pixels: that costs a tenth of what drawing shapes or pictures does.
(() => {
  const [LEAST, MOST] = [1.6, 3.6];   // px of a dot's radius
  const STEP = 0.4;                   // px between one size of dots and the next
  const ROOM = 0.9;                   // of what there is for each dot of the whole map, a radius
  const GROWTH = 0.7;                 // power of the zoom

  class Dots {
    #rows; #x; #y; #order; #starts = []; #kinds = []; #stamps = null; #field = null;

    // rows: those that have a place, the most important first.
    constructor(rows, x, y) {
      [this.#rows, this.#x, this.#y] = [rows, x, y];
      this.#order = new Int32Array(rows.length);
    }

    // Filtered out ones first, then kind by kind, of each the most important on top. ► how many there are of each, the filtered out first.
    sort(passing, { kinds, of }) {
      const amounts = new Int32Array(kinds.length + 1);
      for (const row of this.#rows) amounts[passing[row] ? 1 + of[row] : 0] += 1;
      this.#starts = [0];
      for (const amount of amounts) this.#starts.push(this.#starts.at(-1) + amount);
      const next = Int32Array.from(this.#starts);
      for (let at = this.#rows.length - 1; at >= 0; at -= 1) {
        const row = this.#rows[at];
        this.#order[next[passing[row] ? 1 + of[row] : 0]++] = row;
      }
      if (kinds !== this.#kinds) this.#stamps = null;
      this.#kinds = kinds;
      return amounts;
    }

    // Other colours: the stamps are cut anew.
    forget() { this.#stamps = null; }

    // The more dots share the map, the smaller they are; marks are told apart when it is zoomed in.
    #radius({ zoom, area }) {
      const radius = ROOM * Math.sqrt(area / this.#rows.length) * zoom ** GROWTH;
      return STEP * Math.round(Math.max(LEAST, Math.min(MOST, radius)) / STEP);
    }

    draw(pen, view, ratio, colours) {
      const [wide, high] = [pen.canvas.width, pen.canvas.height];
      const radius = this.#radius(view);
      if (this.#stamps?.ratio !== ratio || this.#stamps.radius !== radius || this.#stamps.wide !== wide) this.#cut(ratio, radius, wide, colours);
      const { half, line, kinds, ground } = this.#stamps;
      if (this.#field?.width !== line || this.#field.height !== high + 2 * half) this.#field = new ImageData(line, high + 2 * half);
      const pixels = new Uint32Array(this.#field.data.buffer);
      pixels.fill(ground);
      const [scale, left, top] = [view.scale * ratio, view.left * ratio, view.top * ratio];
      for (let kind = 0; kind < kinds.length; kind += 1) this.#set(pixels, kinds[kind], this.#starts[kind], this.#starts[kind + 1], { scale, left, top, wide, high, line });
      pen.putImageData(this.#field, -half, -half);
    }

    // A dot whose middle is inside the canvas lies inside the field.
    #set(pixels, { offsets, colours }, first, end, { scale, left, top, wide, high, line }) {
      const [xs, ys, order, some] = [this.#x, this.#y, this.#order, offsets.length];
      for (let at = first; at < end; at += 1) {
        const row = order[at];
        const x = Math.round(left + xs[row] * scale);
        const y = Math.round(top - ys[row] * scale);
        if (x < 0 || y < 0 || x >= wide || y >= high) continue;
        const place = y * line + x;
        for (let each = 0; each < some; each += 1) pixels[place + offsets[each]] = colours[each];
      }
    }

    // The pixels of each kind of dot.
    #cut(ratio, radius, wide, { ground, line: out }) {
      const scheme = atlas.scheme.name();
      const half = Math.ceil((1.4 * radius + 1) * ratio);
      const side = 2 * half + 1;
      const line = wide + 2 * half;
      const pen = Object.assign(document.createElement("canvas"), { width: side, height: side }).getContext("2d", { willReadFrequently: true });
      const pixels = () => new Uint32Array(pen.getImageData(0, 0, side, side).data.buffer);
      pen.fillStyle = ground;
      pen.fillRect(0, 0, side, side);
      const [empty] = pixels();
      const kinds = [{ mark: "speck", [scheme]: out }, ...this.#kinds].map(({ mark, [scheme]: colour }) => {
        const path = new Path2D(atlas.hues.MARKS[mark]);
        pen.setTransform(1, 0, 0, 1, 0, 0);
        pen.clearRect(0, 0, side, side);
        pen.setTransform(radius * ratio, 0, 0, radius * ratio, side / 2, side / 2);
        // The rim keeps dots apart that lie on each other, and has their smooth edges in it.
        pen.lineWidth = 1.2 / radius;
        pen.strokeStyle = ground;
        pen.stroke(path);
        pen.fillStyle = colour;
        pen.fill(path);
        const seen = pixels();
        const solid = Array.from(seen.keys()).filter((at) => seen[at] >>> 24 > 127);
        return { offsets: Int32Array.from(solid, (at) => Math.floor(at / side) * line + at % side), colours: Uint32Array.from(solid, (at) => (seen[at] | 0xff000000) >>> 0) };
      });
      this.#stamps = { ratio, radius, wide, half, line, ground: empty, kinds };
    }
  }

  atlas.dots = { Dots };
})();
