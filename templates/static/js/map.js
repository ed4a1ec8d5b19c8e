"use strict";
// The map of all experts on one canvas: a dot for each, clusters by name. The list says the same in words.
(() => {
  const { make, draw, count, token } = atlas.words;
  const { array } = atlas.payloads;
  const { route } = atlas;
  const OFF = -32768;      // both coordinates of an expert that has no place
  const PAD = 24;          // px around the whole map
  const MOST = 60;         // times the whole
  const STEP = 1.5;        // of a key or a button
  const REACH = { mouse: 10, pen: 10, touch: 20 };   // px from a pointer to a dot that it means
  const STILL = 4;         // px that a click may move
  const SCROLLED = 300;    // ms after which a wheel over the map is meant for it
  const NAME = 28;         // characters of a cluster's name
  const LINE = 16;         // px from one name to the next
  const MANY = 4000;       // dots, beyond which they are smaller
  const TOWARDS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

  // Dots by place, so that the nearest one to a pointer is found without a look at all of them.
  class Grid {
    #cells = new Map(); #x; #y; #side;

    constructor(rows, x, y, side) {
      [this.#x, this.#y, this.#side] = [x, y, side];
      for (const row of rows) {
        const cell = this.#cell(Math.floor(x[row] / side), Math.floor(y[row] / side));
        if (!this.#cells.has(cell)) this.#cells.set(cell, []);
        this.#cells.get(cell).push(row);
      }
    }

    #cell(column, line) { return 65536 * column + line; }

    // The row within reach of a place whose rank(row, distance) is least; null where there is none.
    nearest(x, y, reach, rank) {
      let [best, least] = [null, Infinity];
      const [left, right, low, high] = [x - reach, x + reach, y - reach, y + reach].map((edge) => Math.floor(edge / this.#side));
      for (let column = left; column <= right; column += 1) {
        for (let line = low; line <= high; line += 1) {
          for (const row of this.#cells.get(this.#cell(column, line)) ?? []) {
            const distance = Math.hypot(this.#x[row] - x, this.#y[row] - y);
            const ranked = rank(row, distance);
            if (distance <= reach && ranked < least) [best, least] = [row, ranked];
          }
        }
      }
      return best;
    }
  }

  class Overview {
    #experts; #hues; #x; #y; #rows; #middle; #half; #grid; #cluster; #names;
    #parts = {}; #canvas; #buttons; #size = { width: 0, height: 0, clear: 0 }; #view = null; #asked = false;
    #passing; #hue = null; #order = null; #stamps = null;
    #at = null; #opened = null; #down = null; #fingers = null; #scrolled = -Infinity;

    constructor(root, manifest, classes) {
      this.#experts = manifest.experts;
      this.#hues = atlas.hues.hues(manifest, classes);
      [this.#x, this.#y] = [array(manifest.map.x), array(manifest.map.y)];
      this.#rows = manifest.experts.expert.map((_, row) => row).filter((row) => this.#x[row] !== OFF);
      this.#passing = new Uint8Array(manifest.experts.expert.length);
      this.#measure();
      this.#cluster = array(manifest.map.cluster);
      const { name, basis, x, y, experts, named } = manifest.map.clusters;
      this.#names = name.map((text, at) => ({ text: short(plain(text)), x: x[at], y: y[at], said: clustered(short(plain(text)), basis[at], named[at], experts[at]) }));
      for (const part of root.querySelectorAll("[data-map-part]")) this.#parts[part.dataset.mapPart] = part;
      this.#canvas = this.#parts.canvas;
      this.#buttons = root.querySelector("[data-zoom]").parentElement;
      this.#parts.colour.append(...this.#hues.names.map((way) => make("option", { value: way }, this.#hues.of(way).title)));
      this.#listen(root);
      root.hidden = false;
      new ResizeObserver(() => this.#fit()).observe(this.#canvas);
    }

    #measure() {
      const ends = [this.#x, this.#y].map((places) => this.#rows.reduce(([low, high], row) => [Math.min(low, places[row]), Math.max(high, places[row])], [Infinity, -Infinity]));
      this.#middle = ends.map(([low, high]) => (low + high) / 2);
      this.#half = ends.map(([low, high]) => Math.max((high - low) / 2, 1));
      this.#grid = new Grid(this.#rows, this.#x, this.#y, 2 * Math.max(...this.#half) / Math.ceil(Math.sqrt(this.#rows.length)));
    }

    // --- what is shown ---

    show(state, { rows }) {
      const way = this.#hues.names.includes(state.map) ? state.map : this.#hues.names[0];
      this.#parts.colour.value = way;
      this.#parts.body.hidden = this.#parts.choose.hidden = state.folded;
      this.#parts.fold.textContent = state.folded ? "Show the map" : "Hide the map";
      this.#parts.fold.setAttribute("aria-expanded", String(!state.folded));
      this.#passing.fill(0);
      for (const row of rows) this.#passing[row] = 1;
      if (this.#hue !== this.#hues.of(way)) this.#stamps = null;
      this.#hue = this.#hues.of(way);
      this.#sort();
      this.#explain();
      this.#point(null);
    }

    // Rows by how they are drawn: filtered out first, then kind by kind, of each the most important on top.
    #sort() {
      const groups = Array.from({ length: this.#hue.kinds.length + 1 }, () => []);
      for (const row of this.#rows) groups[this.#passing[row] ? 1 + this.#hue.of[row] : 0].push(row);
      this.#order = groups.map((group) => Int32Array.from(group).reverse());
    }

    #explain() {
      const { kinds, ticks } = this.#hue;
      const amount = (at) => this.#order[at].length;
      const entry = (kind, text, number) => make("li", {}, swatch(kind), make("span", {}, text), make("span", { class: "amount" }, count(number)));
      const entries = kinds.flatMap(({ text, ...kind }, at) => (text && amount(at + 1) ? [entry(kind, text, amount(at + 1))] : []));
      // Those that claim nothing stand first among the kinds, and last in the legend.
      const greys = kinds.filter(({ text, mark }, at) => text && mark === "speck" && amount(at + 1)).length;
      const listed = [...entries.slice(greys), ...entries.slice(0, greys), ...(amount(0) ? [entry({ mark: "speck" }, "filtered out", amount(0))] : [])];
      this.#parts.legend.replaceChildren(...(ticks ? [axis(kinds.slice(1), ticks)] : []), make("ul", {}, ...listed), ...(this.#hue.note ? [make("p", { class: "note" }, this.#hue.note)] : []));
    }

    // --- the view: { x, y } in the middle, zoom times the whole ---

    #fit() {
      const { clientWidth: width, clientHeight: height } = this.#canvas;
      if (!width || !height) return;
      // Of the height, what lies above the buttons: the whole map is drawn clear of them.
      this.#size = { width, height, clear: this.#buttons.offsetTop };
      this.#view ??= { x: this.#middle[0], y: this.#middle[1], zoom: 1 };
      this.#paint();
    }

    get #scale() {
      const { width, clear } = this.#size;
      return this.#view.zoom * Math.min((width - 2 * PAD) / (2 * this.#half[0]), (clear - 2 * PAD) / (2 * this.#half[1]));
    }

    #place(x, y) {
      const { width, clear } = this.#size;
      return [width / 2 + (x - this.#view.x) * this.#scale, clear / 2 - (y - this.#view.y) * this.#scale];
    }

    #under(x, y) {
      const { width, clear } = this.#size;
      return [this.#view.x + (x - width / 2) / this.#scale, this.#view.y - (y - clear / 2) / this.#scale];
    }

    #move(x, y, zoom = this.#view.zoom) {
      const inside = (value, axis) => Math.max(this.#middle[axis] - this.#half[axis], Math.min(this.#middle[axis] + this.#half[axis], value));
      this.#view = { x: inside(x, 0), y: inside(y, 1), zoom };
      if (zoom === 1) [this.#view.x, this.#view.y] = this.#middle;
      this.#paint();
    }

    #pan(dx, dy) { this.#move(this.#view.x - dx / this.#scale, this.#view.y + dy / this.#scale); }

    // What is under a place on the canvas, else in its middle, stays there.
    #zoom(factor, x = this.#size.width / 2, y = this.#size.clear / 2) {
      const [fixedX, fixedY] = this.#under(x, y);
      const zoom = Math.max(1, Math.min(MOST, this.#view.zoom * factor));
      const kept = this.#view.zoom / zoom;
      this.#move(fixedX + (this.#view.x - fixedX) * kept, fixedY + (this.#view.y - fixedY) * kept, zoom);
    }

    #whole() { this.#move(...this.#middle, 1); }

    // --- drawing ---

    // Once a frame, however many events ask for it.
    #paint() {
      if (this.#asked) return;
      this.#asked = true;
      requestAnimationFrame(() => { this.#asked = false; this.#draw(); });
    }

    #draw() {
      const { width, height } = this.#size;
      if (!this.#order || !this.#view || !this.#canvas.clientWidth) return;
      const ratio = Math.min(devicePixelRatio || 1, 3);
      const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
      if (this.#canvas.width !== wide || this.#canvas.height !== high) Object.assign(this.#canvas, { width: wide, height: high });
      const pen = this.#canvas.getContext("2d");
      const style = getComputedStyle(this.#canvas);
      if (this.#stamps?.ratio !== ratio || this.#stamps.wide !== wide || this.#stamps.high !== high) this.#stamps = this.#cut({ ratio, wide, high }, style);
      this.#dots(pen);
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      this.#write(pen, style);
      this.#ring(pen, style);
      this.#label();
    }

    // The pixels of each kind of dot, and a field to set them down in: that costs a tenth of what drawing shapes or pictures does.
    #cut({ ratio, wide, high }, style) {
      const radius = this.#rows.length > MANY ? 3 : 3.6;
      const scheme = atlas.scheme.name();
      const half = Math.ceil((1.4 * radius + 1) * ratio);
      const side = 2 * half + 1;
      const pen = Object.assign(document.createElement("canvas"), { width: side, height: side }).getContext("2d", { willReadFrequently: true });
      // A dot whose middle is inside the canvas lies inside the field.
      const line = wide + 2 * half;
      const field = new ImageData(line, high + 2 * half);
      const pixels = new Uint32Array(field.data.buffer);
      pen.fillStyle = style.backgroundColor;
      pen.fillRect(0, 0, 1, 1);
      const [ground] = new Uint32Array(pen.getImageData(0, 0, 1, 1).data.buffer);
      const kinds = [{ mark: "speck", [scheme]: style.borderTopColor }, ...this.#hue.kinds].map(({ mark, [scheme]: colour }) => {
        const path = new Path2D(atlas.hues.MARKS[mark]);
        pen.setTransform(1, 0, 0, 1, 0, 0);
        pen.clearRect(0, 0, side, side);
        pen.setTransform(radius * ratio, 0, 0, radius * ratio, side / 2, side / 2);
        // The rim keeps dots apart that lie on each other, and has their smooth edges in it.
        pen.lineWidth = 1.2 / radius;
        pen.strokeStyle = style.backgroundColor;
        pen.stroke(path);
        pen.fillStyle = colour;
        pen.fill(path);
        const seen = new Uint32Array(pen.getImageData(0, 0, side, side).data.buffer);
        const solid = Array.from(seen.keys()).filter((at) => seen[at] >>> 24 > 127);
        return { offsets: Int32Array.from(solid, (at) => Math.floor(at / side) * line + at % side), colours: Uint32Array.from(solid, (at) => (seen[at] | 0xff000000) >>> 0) };
      });
      return { ratio, wide, high, half, line, field, pixels, ground, kinds };
    }

    #dots(pen) {
      const { ratio, wide, high, half, line, field, pixels, ground, kinds } = this.#stamps;
      const [xs, ys] = [this.#x, this.#y];
      const scale = this.#scale * ratio;
      const [left, top] = [wide / 2 - this.#view.x * scale, ratio * this.#size.clear / 2 + this.#view.y * scale];
      pixels.fill(ground);
      this.#order.forEach((rows, kind) => {
        const { offsets, colours } = kinds[kind];
        for (const row of rows) {
          const x = Math.round(xs[row] * scale + left);
          const y = Math.round(top - ys[row] * scale);
          if (x < 0 || y < 0 || x >= wide || y >= high) continue;
          const first = y * line + x;
          for (let at = 0; at < offsets.length; at += 1) pixels[first + offsets[at]] = colours[at];
        }
      });
      pen.putImageData(field, -half, -half);
    }

    // Names of clusters at their middles, the largest first, where none is in the way.
    #write(pen, style) {
      const { width, height } = this.#size;
      pen.font = `600 12px ${style.fontFamily}`;
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.lineJoin = "round";
      pen.lineWidth = 4;
      pen.strokeStyle = style.backgroundColor;
      pen.fillStyle = style.color;
      const taken = [];
      for (const name of this.#names) {
        const [x, y] = this.#place(name.x, name.y);
        if (x < 0 || y < 0 || x > width || y > height) continue;
        name.half ??= pen.measureText(name.text).width / 2 + 6;
        const at = { x: Math.max(name.half, Math.min(width - name.half, x)), y: Math.max(LINE / 2, Math.min(height - LINE / 2, y)), half: name.half };
        if (taken.some((other) => Math.abs(other.x - at.x) < other.half + at.half && Math.abs(other.y - at.y) < LINE)) continue;
        taken.push(at);
        pen.strokeText(name.text, at.x, at.y);
        pen.fillText(name.text, at.x, at.y);
      }
    }

    #ring(pen, style) {
      if (this.#at === null) return;
      const [x, y] = this.#place(this.#x[this.#at], this.#y[this.#at]);
      pen.strokeStyle = style.caretColor;
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(x, y, 8, 0, 2 * Math.PI);
      pen.stroke();
    }

    // --- one expert ---

    // touched: the label is a link then, since a finger cannot hover.
    #point(row, { touched = false, spoken = false } = {}) {
      const same = row === this.#at && touched === this.#parts.tip.classList.contains("touched");
      this.#at = row;
      if (same) return this.#paint();
      const { tip } = this.#parts;
      tip.hidden = row === null;
      tip.classList.toggle("touched", touched);
      if (row !== null) {
        const { expert, title } = this.#experts;
        const said = [this.#hue.tell(row), this.#names[this.#cluster[row] - 1]?.said, this.#passing[row] ? null : "filtered out"].filter(Boolean);
        tip.replaceChildren(make("b", {}, String(expert[row])), " ", ...token(title[row]), ...said.map((text) => make("span", { class: "said" }, text)));
        tip.href = route.link({ expert: expert[row] });
        if (spoken) this.#parts.spoken.textContent = [`Expert ${expert[row]}: ${plain(title[row])}`, ...said].join(", ");
      }
      this.#paint();
    }

    // Puts the label above the dot, or below it where there is no room, inside the canvas.
    #label() {
      if (this.#at === null) return;
      const { tip } = this.#parts;
      const [x, y] = this.#place(this.#x[this.#at], this.#y[this.#at]);
      const half = tip.offsetWidth / 2;
      tip.classList.toggle("below", y < tip.offsetHeight + 14);
      tip.style.setProperty("--x", `${x}px`);
      tip.style.setProperty("--y", `${y}px`);
      tip.style.setProperty("--shift", `${Math.max(half - x, Math.min(this.#size.width - half - x, 0))}px`);
    }

    #hit({ offsetX, offsetY, pointerType }) {
      const reach = (REACH[pointerType] ?? REACH.mouse) / this.#scale;
      // One that was filtered out is meant only where no other is.
      return this.#grid.nearest(...this.#under(offsetX, offsetY), reach, (row, distance) => distance + (this.#passing[row] ? 0 : reach));
    }

    #open(row) {
      this.#opened = this.#experts.expert[row];
      route.set({ expert: this.#opened });
    }

    // Back from an expert that was opened here, the keyboard is where it was.
    focus(expert) {
      if (expert !== this.#opened || !this.#canvas.clientWidth) return false;
      this.#canvas.focus({ preventScroll: true });
      return true;
    }

    // The list's first expert that is on the map; null where the filters leave none.
    #first() { return this.#rows.find((row) => this.#passing[row]) ?? null; }

    // The next dot on a side, the less to its side the better; those that passed the filters.
    #next([right, up]) {
      let [best, least] = [null, Infinity];
      for (const row of this.#rows) {
        if (!this.#passing[row]) continue;
        const [dx, dy] = [this.#x[row] - this.#x[this.#at], this.#y[row] - this.#y[this.#at]];
        const [along, aside] = [dx * right + dy * up, Math.abs(dx * up - dy * right)];
        if (along > 0 && aside <= 2 * along && along + 2 * aside < least) [best, least] = [row, along + 2 * aside];
      }
      return best;
    }

    #goTo(row) {
      if (row === null) return;
      const [x, y] = this.#place(this.#x[row], this.#y[row]);
      const { width, height } = this.#size;
      if (x < PAD || y < PAD || x > width - PAD || y > height - PAD) this.#move(this.#x[row], this.#y[row]);
      this.#point(row, { spoken: true });
    }

    // --- input ---

    #listen(root) {
      const { canvas, tip, colour, fold } = this.#parts;
      colour.addEventListener("change", () => route.adjust({ map: colour.value === this.#hues.names[0] ? null : colour.value }));
      fold.addEventListener("click", () => route.adjust({ folded: !route.state.folded }));
      tip.addEventListener("click", () => { this.#opened = this.#at === null ? null : this.#experts.expert[this.#at]; });
      for (const button of root.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => this.#press(button.dataset.zoom));
      canvas.addEventListener("keydown", (event) => this.#key(event));
      canvas.addEventListener("focus", () => { if (canvas.matches(":focus-visible") && this.#at === null) this.#goTo(this.#first()); });
      canvas.addEventListener("blur", ({ relatedTarget }) => { if (relatedTarget !== tip) this.#point(null); });
      canvas.addEventListener("dblclick", (event) => { if (this.#hit(event) === null) this.#whole(); });
      canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
      addEventListener("scroll", () => { this.#scrolled = performance.now(); }, { passive: true });
      this.#listenToPointer(canvas);
      this.#listenToFingers(canvas.parentElement);   // also where a label lies over it
      atlas.scheme.changes.addEventListener("change", () => { this.#stamps = null; this.#paint(); });
    }

    // Around the expert that is pointed at, if there is one.
    #press(key) {
      const around = this.#at === null ? [] : this.#place(this.#x[this.#at], this.#y[this.#at]);
      if (key === "in" || key === "+" || key === "=") this.#zoom(STEP, ...around);
      else if (key === "out" || key === "-") this.#zoom(1 / STEP, ...around);
      else if (key === "whole" || key === "0") this.#whole();
      else return false;
      return true;
    }

    #key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const { key } = event;
      if (key in TOWARDS) this.#goTo(this.#at === null ? this.#first() : this.#next(TOWARDS[key]));
      else if (key === "Enter" && this.#at !== null) this.#open(this.#at);
      else if (key === "Escape" && this.#at !== null) this.#point(null);
      else if (!this.#press(key)) return;
      event.preventDefault();
    }

    // The whole map lets the page scroll on; so does a wheel that was scrolling the page when the map came under it.
    #wheel(event) {
      const isPinch = event.ctrlKey;
      if (!isPinch && (performance.now() - this.#scrolled < SCROLLED || (event.deltaY > 0 && this.#view.zoom === 1))) return;
      event.preventDefault();
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : 16;
      this.#zoom(Math.exp(-event.deltaY * lines * (isPinch ? 0.01 : 0.002)), event.offsetX, event.offsetY);
    }

    #listenToPointer(canvas) {
      canvas.addEventListener("pointerdown", (event) => {
        if (event.button !== 0 || !event.isPrimary) return;
        this.#down = { x: event.clientX, y: event.clientY, moved: false };
        if (event.pointerType !== "touch") canvas.setPointerCapture(event.pointerId);
      });
      canvas.addEventListener("pointermove", (event) => {
        if (event.pointerType === "touch") return;
        if (this.#down) this.#drag(event);
        else {
          const row = this.#hit(event);
          canvas.classList.toggle("over", row !== null);
          this.#point(row);
        }
      });
      canvas.addEventListener("pointerup", (event) => {
        const [down, row] = [this.#down, this.#hit(event)];
        this.#down = null;
        canvas.classList.remove("dragged");
        if (!down || down.moved || this.#fingers) return;
        if (event.pointerType === "touch") this.#point(row, { touched: row !== null });
        else if (row !== null) this.#open(row);
      });
      canvas.addEventListener("pointercancel", () => { this.#down = null; });
      canvas.addEventListener("pointerleave", ({ pointerType }) => { if (pointerType !== "touch" && !canvas.matches(":focus-visible")) this.#point(null); });
    }

    #drag({ clientX, clientY }) {
      const [dx, dy] = [clientX - this.#down.x, clientY - this.#down.y];
      if (!this.#down.moved && Math.hypot(dx, dy) < STILL) return;
      if (!this.#down.moved) this.#point(null);
      this.#canvas.classList.add("dragged");
      this.#down = { x: clientX, y: clientY, moved: true };
      this.#pan(dx, dy);
    }

    // One finger scrolls the page, which would else be caught in the map; two move and zoom it.
    #listenToFingers(plane) {
      const read = ({ touches: [one, other] }) => {
        const { left, top } = plane.getBoundingClientRect();
        return {
          x: (one.clientX + other.clientX) / 2 - left, y: (one.clientY + other.clientY) / 2 - top,
          apart: Math.max(1, Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY)),
        };
      };
      const start = (event) => {
        if (event.touches.length !== 2) return;
        event.preventDefault();
        this.#fingers = read(event);
      };
      plane.addEventListener("touchstart", start, { passive: false });
      plane.addEventListener("touchmove", (event) => {
        if (event.touches.length !== 2 || !this.#fingers) return;
        event.preventDefault();
        const now = read(event);
        this.#pan(now.x - this.#fingers.x, now.y - this.#fingers.y);
        this.#zoom(now.apart / this.#fingers.apart, now.x, now.y);
        this.#fingers = now;
      }, { passive: false });
      for (const type of ["touchend", "touchcancel"]) plane.addEventListener(type, ({ touches }) => { if (touches.length === 0) this.#fingers = null; });
    }
  }

  // How far a cluster's name holds for its experts.
  function clustered(name, basis, named, experts) {
    const [of, is] = [`${count(named)} of ${count(experts)}`, named === 1];
    if (basis === "title") return `cluster ${name}: ${of} ${is ? "has" : "have"} this title`;
    return named ? `cluster ${name}: ${of} ${is ? "fires" : "fire"} on one of these` : `cluster of ${count(experts)}: no token stands out`;
  }

  const plain = (text) => make("span", {}, ...token(text)).textContent;
  const short = (text) => (Array.from(text).length > NAME ? `${Array.from(text).slice(0, NAME - 1).join("").trimEnd()}…` : text);

  function coloured(element, { light, dark }) {
    if (light) {
      element.style.setProperty("--light", light);
      element.style.setProperty("--dark", dark);
    }
    return element;
  }

  const swatch = ({ mark, ...colours }) => coloured(draw("svg", { class: "mark", viewBox: "-1.6 -1.6 3.2 3.2", "aria-hidden": "true" }, draw("path", { d: atlas.hues.MARKS[mark] })), colours);

  function axis(kinds, ticks) {
    const named = ticks.map(({ at, text }) => {
      const tick = make("span", {}, text);
      tick.style.setProperty("--at", at);
      return tick;
    });
    return make("div", { class: "ramp" }, make("div", { class: "shades", "aria-hidden": "true" }, ...kinds.map((kind) => coloured(make("span"), kind))), make("div", { class: "ticks" }, ...named));
  }

  atlas.map = { Overview };
})();
