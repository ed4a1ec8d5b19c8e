"use strict";
// The names of the map's clusters: each beside its dots, where it hides few of them.
(() => {
  const { make, count, token } = atlas.words;
  const LONGEST = 28;    // characters of a name
  const LINE = 16;       // px from one name to the next
  const GAP = 6;         // px on both sides of a name
  const HIDDEN = 0.04;   // of a cluster's dots, as many as its name may lie on
  const FEW = 3;         // dots that any name may
  const HALO = 5;        // px of the stroke below a name, where it does lie on some
  const NEAR = 8;        // px of distance that weigh as much as a dot
  const SPREAD = 1.4;    // of the mean distance from a cluster's middle: its names begin there
  const FARTHER = [1, 1.5];
  const AROUND = [[0, 1], [0, -1], [1, 0], [-1, 0], [1, 1], [-1, 1], [1, -1], [-1, -1]];

  const plain = (text) => make("span", {}, ...token(text)).textContent;

  function short(text) {
    const characters = Array.from(plain(text));
    return characters.length > LONGEST ? `${characters.slice(0, LONGEST - 1).join("").trimEnd()}…` : characters.join("");
  }

  // How far a cluster's name holds for its experts.
  function held(name, basis, named, experts) {
    const [of, is] = [`${count(named)} of ${count(experts)}`, named === 1];
    if (basis === "title") return `cluster ${name}: ${of} ${is ? "has" : "have"} this title`;
    return named ? `cluster ${name}: ${of} ${is ? "fires" : "fire"} on one of these` : `cluster of ${count(experts)}: no token stands out`;
  }

  class Clusters {
    #of; #names; #grid; #scale = null; #placed = []; #drawn = [];

    // of: each row's cluster, its place plus one; rows: those with a place.
    constructor({ name, basis, x, y, experts, named }, of, rows, { xs, ys, grid }) {
      [this.#of, this.#grid] = [of, grid];
      this.#names = name.map((text, at) => ({ at, text: short(text), x: x[at], y: y[at], experts: experts[at], said: held(short(text), basis[at], named[at], experts[at]), wide: 0, high: 0 }));
      for (const row of rows) {
        const its = this.#names[of[row] - 1];
        if (!its) continue;
        its.wide += SPREAD * Math.abs(xs[row] - its.x) / its.experts;
        its.high += SPREAD * Math.abs(ys[row] - its.y) / its.experts;
      }
    }

    // What a row's cluster is called, and how far that holds.
    said(row) { return this.#names[this.#of[row] - 1]?.said; }

    // chosen: places of clusters that the list is filtered by; at: that under the pointer, or null.
    draw(pen, view, { font, ground, text, accent }, chosen, at) {
      pen.font = `12px ${font}`;
      if (this.#scale !== view.scale) this.#lay(pen, view.scale);
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.lineJoin = "round";
      pen.strokeStyle = ground;
      this.#drawn = [];
      for (const { name, dx, dy, isFree } of this.#placed) {
        const isChosen = chosen.includes(name.at);
        const [x, y] = [view.across(name.x) + dx, view.down(name.y) + dy];
        if (!(isFree || isChosen) || !view.isClear(x - name.half, x + name.half, y - LINE / 2, y + LINE / 2)) continue;
        this.#drawn.push({ name, x, y });
        pen.lineWidth = HALO;
        pen.strokeText(name.text, x, y);
        pen.fillStyle = isChosen ? accent : text;
        pen.fillText(name.text, x, y);
        if (isChosen || name.at === at) pen.fillRect(x - name.half + GAP, y + LINE / 2 - 1, 2 * (name.half - GAP), 1);
      }
    }

    // At one scale names keep their places, however the map is moved: the largest cluster's first.
    #lay(pen, scale) {
      this.#scale = scale;
      const taken = [];
      this.#placed = this.#names.map((name) => {
        name.half ??= pen.measureText(name.text).width / 2 + GAP;
        const place = this.#beside(name, scale, taken);
        const most = Math.max(FEW, HIDDEN * name.experts);
        const isFree = place !== null && place.hidden <= most;
        const { dx, dy } = place ?? { dx: 0, dy: 0 };
        if (isFree) taken.push({ x: name.x * scale + dx, y: dy - name.y * scale, half: name.half });
        return { name, dx, dy, isFree };
      });
    }

    // Of the places around a cluster that no other name has taken, that on which the fewest dots lie; null where none is left.
    #beside(name, scale, taken) {
      const [x, y] = [name.x * scale, -name.y * scale];
      const most = Math.max(FEW, HIDDEN * name.experts) + 1;
      let best = null;
      const offer = (dx, dy) => {
        if (taken.some((other) => Math.abs(other.x - x - dx) < other.half + name.half && Math.abs(other.y - y - dy) < LINE)) return;
        const [middle, line] = [(x + dx) / scale, -(y + dy) / scale];
        const [half, high] = [(name.half - GAP / 2) / scale, LINE / 2 / scale];
        const hidden = this.#grid.count(middle - half, middle + half, line - high, line + high, most);
        const cost = hidden + Math.hypot(dx, dy) / NEAR;
        if (best === null || cost < best.cost) best = { dx, dy, hidden, cost };
      };
      offer(0, 0);
      for (const far of FARTHER) {
        const [wide, high] = [far * name.wide * scale, far * name.high * scale + LINE / 2 + 2];
        for (const [right, down] of AROUND) {
          if (down) offer(right * wide, down * high);
          else offer(right * (wide + name.half), 0);
        }
      }
      return best;
    }

    // The place of the cluster whose name is drawn there; null where none is.
    at(x, y) {
      return this.#drawn.find(({ name, x: middle, y: line }) => Math.abs(x - middle) <= name.half - GAP / 2 && Math.abs(y - line) <= LINE / 2)?.name.at ?? null;
    }
  }

  atlas.clusters = { plain, short, Clusters };
})();
