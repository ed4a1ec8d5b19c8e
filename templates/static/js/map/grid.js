"use strict";
// Places on the map by cell, so that what is near one is found without a look at all of them.
(() => {
  const OFF = -32768;   // both coordinates of an expert that has no place

  class Grid {
    #x; #y; #side; #left; #low; #columns; #lines; #starts; #rows;

    // rows: those that have a place; { left, low, width, height } of all of them.
    constructor(rows, x, y, { left, low, width, height }) {
      [this.#x, this.#y, this.#left, this.#low] = [x, y, left, low];
      // About one dot to a cell.
      this.#side = Math.max(width, height, 1) / Math.max(1, Math.ceil(Math.sqrt(rows.length)));
      this.#columns = Math.floor(width / this.#side) + 1;
      this.#lines = Math.floor(height / this.#side) + 1;
      this.#fill(rows);
    }

    // Rows cell after cell, line by line, of each cell in their order.
    #fill(rows) {
      const cells = Int32Array.from(rows, (row) => this.#line(this.#y[row]) * this.#columns + this.#column(this.#x[row]));
      this.#starts = new Int32Array(this.#columns * this.#lines + 1);
      for (const cell of cells) this.#starts[cell + 1] += 1;
      for (let cell = 0; cell < this.#columns * this.#lines; cell += 1) this.#starts[cell + 1] += this.#starts[cell];
      const next = this.#starts.slice();
      this.#rows = new Int32Array(rows.length);
      for (let at = 0; at < rows.length; at += 1) this.#rows[next[cells[at]]++] = rows[at];
    }

    #column(x) { return Math.max(0, Math.min(this.#columns - 1, Math.floor((x - this.#left) / this.#side))); }

    #line(y) { return Math.max(0, Math.min(this.#lines - 1, Math.floor((y - this.#low) / this.#side))); }

    // The row within reach of a place whose rank(row, distance) is least; null where there is none.
    nearest(x, y, reach, rank) {
      let [best, least] = [null, Infinity];
      const [first, last] = [this.#column(x - reach), this.#column(x + reach)];
      for (let line = this.#line(y - reach); line <= this.#line(y + reach); line += 1) {
        const end = this.#starts[line * this.#columns + last + 1];
        for (let at = this.#starts[line * this.#columns + first]; at < end; at += 1) {
          const row = this.#rows[at];
          const distance = Math.hypot(this.#x[row] - x, this.#y[row] - y);
          if (distance > reach) continue;
          const ranked = rank(row, distance);
          if (ranked < least) [best, least] = [row, ranked];
        }
      }
      return best;
    }

    // How many dots lie in a rectangle; none are counted beyond `most`.
    count(left, right, low, high, most) {
      let found = 0;
      const [first, last] = [this.#column(left), this.#column(right)];
      for (let line = this.#line(low); line <= this.#line(high); line += 1) {
        const end = this.#starts[line * this.#columns + last + 1];
        for (let at = this.#starts[line * this.#columns + first]; at < end && found < most; at += 1) {
          const [x, y] = [this.#x[this.#rows[at]], this.#y[this.#rows[at]]];
          if (x >= left && x <= right && y >= low && y <= high) found += 1;
        }
      }
      return found;
    }
  }

  atlas.grid = { OFF, Grid };
})();
