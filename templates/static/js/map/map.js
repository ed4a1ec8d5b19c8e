"use strict";
// The map of all experts on one canvas: a dot for each, clusters by name, what the filters leave out in grey. The list says the same in words.
(() => {
  const { make, quoting, say } = atlas.words;
  const { array } = atlas.payloads;
  const { plain } = atlas.clusters;
  const { route, pointed } = atlas;
  const STEP = 1.5;        // of a key or a button
  const REACH = { mouse: 10, pen: 10, touch: 20 };   // px from a pointer to a dot that it means
  const ON = { mouse: 6, pen: 6, touch: 10 };        // px from a dot, below which a name over it is not meant
  const RESTED = 250;      // ms after which a zoomed map stands in the address
  const [POINTED, CHOSEN, HAIR] = [7, 10, 5];   // px of the rings' radii, and of the hairs on one of them
  const SHARPEST = 3;      // device pixels to a px
  const TOWARDS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  const BESIDE = matchMedia("(min-width: 1080px)");   // where a chosen expert is shown beside the map

  class Overview {
    #experts; #finder; #hues; #x; #y; #rows; #view; #grid; #dots; #clusters; #split; #gestures;
    #parts = {}; #canvas; #style = null; #asked = false; #resting = null;
    #found = null; #passing = null; #hue = null; #place = null; #area = { text: null, polygon: null }; #outline = null; #chosen = { row: null, clusters: [] };
    #at = null; #isKeyed = false; #name = null; #opened = null;
    tool = "move";

    // classes: of shapes, or null.
    constructor(root, manifest, finder, classes) {
      [this.#experts, this.#finder] = [manifest.experts, finder];
      this.#hues = new atlas.hues.Hues(manifest, finder, classes);
      [this.#x, this.#y] = [array(manifest.map.x), array(manifest.map.y)];
      this.#rows = Int32Array.from(this.#x.keys()).filter((row) => this.#x[row] !== atlas.grid.OFF);
      this.#measure();
      this.#dots = new atlas.dots.Dots(this.#rows, this.#x, this.#y);
      this.#clusters = new atlas.clusters.Clusters(manifest.map.clusters, finder.cluster, this.#rows, { xs: this.#x, ys: this.#y, grid: this.#grid });
      for (const part of root.querySelectorAll("[data-map-part]")) this.#parts[part.dataset.mapPart] = part;
      this.#parts.root = root;
      this.#canvas = this.#parts.canvas;
      this.#split = new atlas.split.Split(document.querySelector("[data-split]"), root);
      this.#listen();
      root.hidden = false;
      new ResizeObserver(() => this.#fit()).observe(this.#canvas);
    }

    #measure() {
      let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
      for (const row of this.#rows) {
        [left, right] = [Math.min(left, this.#x[row]), Math.max(right, this.#x[row])];
        [low, high] = [Math.min(low, this.#y[row]), Math.max(high, this.#y[row])];
      }
      const [width, height] = [right - left, high - low];
      this.#view = new atlas.view.View([left + width / 2, low + height / 2], [Math.max(width / 2, 1), Math.max(height / 2, 1)]);
      this.#grid = new atlas.grid.Grid(this.#rows, this.#x, this.#y, { left, low, width, height });
    }

    // --- what is shown ---

    // After another finding: what it leaves out is no longer pointed at.
    show(state, found) {
      if (this.#at !== null && !found.passing[this.#at]) this.#point(null);
      this.look(state, found);
      if (this.#at !== null) this.#tell(this.#at, this.#parts.tip.classList.contains("touched"), false);
    }

    // The same finding, seen otherwise.
    look(state, found) {
      this.#fold(state.folded);
      this.#colour(state, found);
      if (state.area !== this.#area.text) this.#area = { text: state.area, polygon: atlas.lasso.parse(state.area) };
      if (this.#at !== null) this.#parts.tip.href = this.#link(this.#at);
      this.#chosen = { row: state.at === null ? null : this.#onMap(this.#finder.row(state.at)), clusters: state.cluster.map(Number) };
      if (state.place !== this.#place) {
        this.#place = state.place;
        this.#view.read(state.place);
      }
      this.#paint();
    }

    #onMap(row) { return row >= 0 && this.#x[row] !== atlas.grid.OFF ? row : null; }

    #fold(folded) {
      const { plane, choose, side, tools, fold, root } = this.#parts;
      root.classList.toggle("folded", folded);
      for (const part of [plane, choose, side, tools]) part.hidden = folded;
      fold.textContent = folded ? "Show the map" : "Hide the map";
      fold.setAttribute("aria-expanded", String(!folded));
      this.#split.show(!folded);
    }

    #colour(state, found) {
      const names = this.#hues.names(state);
      const [way] = names.find(([name]) => name === state.map) ?? names[0];
      const { colour, legend } = this.#parts;
      if (names.map(String).join() !== Array.from(colour.options, ({ value, text }) => [value, text]).join()) colour.replaceChildren(...names.map(([value, title]) => make("option", { value }, title)));
      colour.value = way;
      const hue = this.#hues.of(way, state, found);
      if (hue === this.#hue && found === this.#found) return;
      [this.#hue, this.#found, this.#passing] = [hue, found, found.passing];
      atlas.legend.show(legend, hue, this.#dots.sort(this.#passing, hue));
    }

    // --- the view ---

    #fit() {
      const { clientWidth: width, clientHeight: height } = this.#canvas;
      if (!width || !height) return;
      // The tools lie over the canvas where it is wide.
      const [own, tools] = [this.#canvas, this.#parts.tools].map((element) => element.getBoundingClientRect());
      this.#view.fit(width, height, { left: tools.left - own.left, top: tools.top - own.top });
      this.#paint();
    }

    get isWhole() { return this.#view.isWhole; }

    pan(dx, dy) {
      this.#view.pan(dx, dy);
      this.#moved();
    }

    // Around a place on the canvas, else its middle.
    zoom(factor, x, y) {
      this.#view.zoomBy(factor, x, y);
      this.#moved();
    }

    #moved() {
      this.#paint();
      clearTimeout(this.#resting);
      this.#resting = setTimeout(() => this.settle(), RESTED);
    }

    // Where the map came to rest stands in the address.
    settle() {
      clearTimeout(this.#resting);
      if (this.#view.text === this.#place) return;
      this.#place = this.#view.text;
      route.adjust({ place: this.#place });
    }

    // --- drawing ---

    // Once a frame, however many events ask for it.
    #paint() {
      if (this.#asked) return;
      this.#asked = true;
      requestAnimationFrame(() => { this.#asked = false; this.#draw(); });
    }

    // The colours that the canvas is drawn in are read from its style.
    #read() {
      const { backgroundColor: ground, borderTopColor: line, color: text, caretColor: accent, fontFamily: font } = getComputedStyle(this.#canvas);
      this.#style = { ground, line, text, accent, font };
    }

    #draw() {
      if (!this.#hue || !this.#view.isFitted || !this.#canvas.clientWidth) return;
      const ratio = Math.min(devicePixelRatio || 1, SHARPEST);
      const [wide, high] = [this.#view.width, this.#view.height].map((px) => Math.round(px * ratio));
      if (this.#canvas.width !== wide || this.#canvas.height !== high) Object.assign(this.#canvas, { width: wide, height: high });
      if (!this.#style) this.#read();
      const pen = this.#canvas.getContext("2d", { willReadFrequently: true });   // its pixels are ours
      this.#dots.draw(pen, this.#view, ratio, this.#style);
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      this.#encircle(pen);
      this.#clusters.draw(pen, this.#view, this.#style, this.#chosen.clusters, this.#name);
      this.#ring(pen, pointed.row, POINTED, this.#style.text);
      this.#mark(pen);
      this.#label();
      pen.setTransform(1, 0, 0, 1, 0, 0);
    }

    #encircle(pen) {
      const { polygon } = this.#area;
      if (polygon) {
        const corners = Array.from({ length: polygon.length / 2 }, (_, at) => [this.#view.across(polygon[2 * at]), this.#view.down(polygon[2 * at + 1])]);
        atlas.lasso.draw(pen, corners, this.#style.accent);
      }
      if (this.#outline) atlas.lasso.draw(pen, this.#outline.corners, this.#style.accent);
    }

    #ring(pen, row, radius, colour) {
      if (row === null || this.#onMap(row) === null) return null;
      const [x, y] = [this.#view.across(this.#x[row]), this.#view.down(this.#y[row])];
      for (const [width, style] of [[4, this.#style.ground], [2, colour]]) {
        pen.lineWidth = width;
        pen.strokeStyle = style;
        pen.beginPath();
        pen.arc(x, y, radius, 0, 2 * Math.PI);
        pen.stroke();
      }
      return [x, y];
    }

    // The chosen expert's ring has four hairs, so that it is found among many dots.
    #mark(pen) {
      const place = this.#ring(pen, this.#chosen.row, CHOSEN, this.#style.accent);
      if (!place) return;
      pen.beginPath();
      for (const [right, down] of Object.values(TOWARDS)) {
        pen.moveTo(place[0] + CHOSEN * right, place[1] + CHOSEN * down);
        pen.lineTo(place[0] + (CHOSEN + HAIR) * right, place[1] + (CHOSEN + HAIR) * down);
      }
      pen.stroke();
    }

    // --- one expert ---

    // touched: the label is a link then, since a finger cannot hover.
    #point(row, { touched = false, spoken = false } = {}) {
      const same = row === this.#at && touched === this.#parts.tip.classList.contains("touched");
      [this.#at, this.#isKeyed] = [row, spoken];
      if (!same) this.#tell(row, touched, spoken);
      pointed.at(row);
      this.#paint();
    }

    #tell(row, touched, spoken) {
      const { tip } = this.#parts;
      tip.hidden = row === null;
      tip.classList.toggle("touched", touched);
      if (row === null) return;
      const { expert, title } = this.#experts;
      const said = [this.#hue.tell(row), this.#clusters.said(row), this.#passing[row] ? null : "filtered out"].filter(Boolean);
      tip.replaceChildren(make("b", {}, String(expert[row])), " ", make("bdi", {}, ...quoting(title[row])), ...said.map((text) => make("span", { class: "said" }, text)));
      tip.href = this.#link(row);
      if (spoken) say(this.#parts.spoken, [`Expert ${expert[row]}: ${plain(title[row])}`, ...said].join(", "));
    }

    #link(row) { return route.link({ expert: this.#experts.expert[row], at: null }); }

    // Puts the label above the dot, or below it where there is no room, inside the canvas.
    #label() {
      if (this.#at === null) return;
      const { tip } = this.#parts;
      const [x, y] = [this.#view.across(this.#x[this.#at]), this.#view.down(this.#y[this.#at])];
      const half = tip.offsetWidth / 2;
      tip.classList.toggle("below", y < tip.offsetHeight + 14);
      tip.style.setProperty("--x", `${x}px`);
      tip.style.setProperty("--y", `${y}px`);
      tip.style.setProperty("--shift", `${Math.max(half - x, Math.min(this.#view.width - half - x, 0))}px`);
    }

    // The row that a pointer means; one that was filtered out only where no other is.
    #hit({ offsetX, offsetY, pointerType }, px = REACH[pointerType] ?? REACH.mouse) {
      const reach = px / this.#view.scale;
      return this.#grid.nearest(...this.#view.under(offsetX, offsetY), reach, (row, distance) => distance + (this.#passing[row] ? 0 : reach));
    }

    // The cluster whose name a pointer means.
    #named(event) { return this.#hit(event, ON[event.pointerType] ?? ON.mouse) === null ? this.#clusters.at(event.offsetX, event.offsetY) : null; }

    #open(row) {
      this.#opened = this.#experts.expert[row];
      route.set({ expert: this.#opened });
    }

    #choose(row) { route.adjust({ at: this.#experts.expert[row] }); }

    // Back from an expert that was opened here, the keyboard is where it was.
    focus(expert) {
      const opened = this.#opened;
      this.#opened = null;   // the next time it may be opened elsewhere
      if (expert !== opened || !this.#canvas.clientWidth) return false;
      this.#canvas.focus({ preventScroll: true });
      return true;
    }

    // The chosen expert, else the list's first that is on the map; null where the filters leave none.
    #first() {
      const { row } = this.#chosen;
      return row !== null && this.#passing[row] ? row : this.#rows.find((one) => this.#passing[one]) ?? null;
    }

    // The next dot on a side, the less to its side the better; of those that passed the filters.
    #next([right, up]) {
      let [best, least] = [null, Infinity];
      const [x, y] = [this.#x[this.#at], this.#y[this.#at]];
      for (const row of this.#rows) {
        if (!this.#passing[row]) continue;
        const [dx, dy] = [this.#x[row] - x, this.#y[row] - y];
        const [along, aside] = [dx * right + dy * up, Math.abs(dx * up - dy * right)];
        if (along > 0 && aside <= 2 * along && along + 2 * aside < least) [best, least] = [row, along + 2 * aside];
      }
      return best;
    }

    #goTo(row) {
      if (row === null) return;
      if (!this.#view.shows(this.#x[row], this.#y[row], 12)) {
        this.#view.go(this.#x[row], this.#y[row]);
        this.#moved();
      }
      this.#point(row, { spoken: true });
    }

    // --- what gestures mean ---

    point(event) {
      const name = this.#named(event);
      const row = name === null ? this.#hit(event) : null;
      this.#canvas.classList.toggle("over", row !== null || name !== null);
      this.#name = name;
      this.#point(row);
    }

    leave() {
      this.#name = null;
      if (!this.#isKeyed) this.#point(null);
      this.#paint();
    }

    // On a name: its cluster is a filter, or no longer. On a dot: chosen where a preview shows it, else opened; a finger is offered a link.
    click(event) {
      const name = this.#named(event);
      const row = this.#hit(event);
      if (name !== null) this.#filter(String(name));
      else if (event.pointerType === "touch") this.#point(row, { touched: row !== null });
      else if (row !== null && BESIDE.matches) this.#choose(row);
      else if (row !== null) this.#open(row);
    }

    #filter(name) {
      const { cluster } = route.state;
      route.set({ cluster: cluster.includes(name) ? cluster.filter((one) => one !== name) : [...cluster, name] });
    }

    begin(tool, x, y) {
      this.#point(null);
      this.#name = null;
      if (tool === "move") this.#canvas.classList.add("dragged");
      else this.#outline = new atlas.lasso.Outline(tool, x, y);
    }

    to(x, y) {
      this.#outline?.to(x, y);
      this.#paint();
    }

    end(tool) {
      const text = this.#outline?.text((x, y) => this.#view.under(x, y));
      this.giveUp();
      if (tool === "move") this.settle();
      else if (text) route.set({ area: text });
    }

    giveUp() {
      this.#outline = null;
      this.#canvas.classList.remove("dragged");
      this.#paint();
    }

    // --- input ---

    #listen() {
      const { canvas, tip, colour, fold, root, all } = this.#parts;
      this.#gestures = new atlas.gestures.Gestures(canvas, this);
      colour.addEventListener("change", () => route.adjust({ map: colour.selectedIndex === 0 ? null : colour.value }));
      fold.addEventListener("click", () => route.adjust({ folded: !route.state.folded }));
      tip.addEventListener("click", () => { this.#opened = this.#at === null ? null : this.#experts.expert[this.#at]; });
      for (const button of root.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => this.#press(button.dataset.zoom));
      root.addEventListener("change", ({ target }) => { if (target.name === "map-tool") this.#take(target.value); });
      all.addEventListener("click", () => this.#select());
      canvas.addEventListener("keydown", (event) => this.#key(event));
      canvas.addEventListener("focus", () => { if (canvas.matches(":focus-visible") && this.#at === null) this.#goTo(this.#first()); });
      canvas.addEventListener("blur", ({ relatedTarget }) => { if (relatedTarget !== tip) this.#point(null); });
      canvas.addEventListener("dblclick", (event) => this.#twice(event));
      // Before the page's own keys: Esc gives up an outline and nothing else.
      addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || !this.#outline) return;
        event.stopPropagation();
        this.#gestures.forget();
        this.giveUp();
      }, { capture: true });
      // Another part of the page points: there is a ring, and no label.
      pointed.changes.addEventListener("change", () => {
        if (pointed.row === this.#at) return;
        this.#at = null;
        tip.hidden = true;
        this.#paint();
      });
      for (const scheme of [atlas.scheme.changes, matchMedia("(forced-colors: active)")]) scheme.addEventListener("change", () => { this.#style = null; this.#dots.forget(); this.#paint(); });
    }

    // A tool for drawing has the way of the keyboard and of a finger beside it.
    #take(tool) {
      this.tool = this.#parts.plane.dataset.tool = tool;
      this.#parts.all.hidden = tool === "move";
      this.#fit();
    }

    // What is in sight, as an area.
    #select() {
      const corners = atlas.lasso.rectangle([0, 0], [this.#view.width, this.#view.height]);
      route.set({ area: atlas.lasso.text(corners.map(([x, y]) => this.#view.under(x, y))) });
    }

    #twice(event) {
      const row = this.#hit(event);
      if (this.#named(event) !== null) return;
      if (row !== null) this.#open(row);
      else if (this.tool === "move") this.#press("whole");
    }

    // Around the expert that is pointed at, if there is one.
    #press(key) {
      const around = this.#at === null ? [] : [this.#view.across(this.#x[this.#at]), this.#view.down(this.#y[this.#at])];
      if (key === "in" || key === "+" || key === "=") this.zoom(STEP, ...around);
      else if (key === "out" || key === "-") this.zoom(1 / STEP, ...around);
      else if (key === "whole" || key === "0") { this.#view.whole(); this.#moved(); }
      else return false;
      return true;
    }

    #key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const { key } = event;
      if (key in TOWARDS) this.#goTo(this.#at === null ? this.#first() : this.#next(TOWARDS[key]));
      else if (key === "Enter" && this.#at !== null) this.#open(this.#at);
      else if (key === " " && this.#at !== null) this.#choose(this.#at);
      else if (key === "Escape" && this.#at !== null) this.#point(null);
      else if (!this.#press(key)) return;
      event.preventDefault();
    }
  }

  atlas.map = { Overview };
})();
