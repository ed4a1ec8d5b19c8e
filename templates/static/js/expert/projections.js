"use strict";
// A cloud as projections on its axes, in SVG: where WebGL is missing or unwanted. Speaks as the scene does.
(() => {
  const { make, draw } = atlas.words;
  const STEPS = 32000;
  const GAP = 24;          // px between panels
  const NARROW = 480;      // px, below which panels stand under each other
  const PAD = 20;          // px round what a panel shows
  const LEAST = 112;       // px of a panel, whatever it shows
  const COLUMNS = 96;      // of a cloud with one axis
  const DOT = 4.5;         // px across a point
  const MARK = 4.5;        // px, a class mean's radius
  const NEAR = 12;         // px from the pointer to what it means
  const DRAG = 5;          // px
  const { FONT, short } = atlas.names;
  const BASE = 4;          // px from the middle of a name down to its line
  const LINE = 14;         // px from an axis to its name
  const BELOW = 38;        // px to the name of a single one, below its class means
  const FAMILY = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif";

  const measured = (text) => atlas.names.width(text, FAMILY);

  // A cloud of one number: points that would lie over each other are piled up, and class means stand below them.
  function piled(cloud) {
    const heights = atlas.cloud.piles(cloud.x, COLUMNS);
    const tall = heights.reduce((most, one) => Math.max(most, one), 0);
    const foot = -tall / 2;
    const below = foot - STEPS / 12;
    return { ...cloud, y: heights.map((height) => foot + height), means: { ...cloud.means, y: cloud.means.x.map(() => below) }, origin: [cloud.origin[0], foot - STEPS / COLUMNS, 0] };
  }

  // What a cloud takes of each axis, in steps, its origin and its sphere included.
  function spans({ x, y, z, origin, means: marks, sphere: radius }) {
    return [[x, marks.x], [y, marks.y], [z, marks.z]].map(([of, mean], axis) => {
      let [low, high] = [origin[axis] - (radius ?? 0), origin[axis] + (radius ?? 0)];
      for (const list of [of, mean]) for (const value of list) [low, high] = [Math.min(low, value), Math.max(high, value)];
      return [low, high];
    });
  }

  // Where panels stand, by the room that there is: one scale for all of them, and no more height than their points take.
  function layout(cloud, width) {
    const ends = spans(cloud);
    const columns = cloud.axes.length < 3 ? [0] : [0, 2];
    const rows = cloud.axes.length < 3 ? [1] : [1, 2];
    const isStacked = columns.length > 1 && width < NARROW;
    const long = (axis, scale) => Math.max(LEAST, (ends[axis][1] - ends[axis][0]) * scale + 2 * PAD);
    const total = (axes, scale) => axes.reduce((sum, axis) => sum + long(axis, scale), GAP * (axes.length - 1));
    const fits = (scale) => (isStacked ? Math.max(...columns.map((axis) => long(axis, scale))) : total(columns, scale)) <= width && total(isStacked ? [1, 1, 2] : rows, scale) <= (isStacked ? 3 : 1) * width;
    let [scale, step] = [0, 1];
    for (; step > 1e-6; step /= 2) if (fits(scale + step)) scale += step;
    const middle = (axis) => (ends[axis][0] + ends[axis][1]) / 2;
    const at = (plane, left, top, wide) => ({ plane, left, top, wide, high: long(plane[1], scale), scale, middle: plane.map(middle) });
    if (columns.length === 1) return [at([0, 1], 0, 0, width)];
    const second = isStacked ? long(1, scale) + GAP : 0;
    const side = isStacked ? [width, width] : [width - GAP - long(2, scale), long(2, scale)];
    return [at([0, 1], 0, 0, side[0]), at([2, 1], isStacked ? 0 : side[0] + GAP, second, side[1]), at([0, 2], 0, second + long(1, scale) + GAP, side[0])];
  }

  // A panel with functions from steps to px of the picture.
  function scaled({ middle, ...panel }) {
    const [x, y] = [panel.left + panel.wide / 2, panel.top + panel.high / 2];
    return { ...panel, x: (value) => x + (value - middle[0]) * panel.scale, y: (value) => y - (value - middle[1]) * panel.scale };
  }

  const px = (value) => value.toFixed(1);

  // One path for each colour: a stroke of no length with a round end is a dot. What is filtered out lies below.
  function dots(group, xs, ys, colours, palette) {
    const paths = new Map([[palette.line, []]]);
    for (let at = 0; at < xs.length; at += 1) {
      const colour = colours[at];
      if (!paths.has(colour)) paths.set(colour, []);
      paths.get(colour).push(`M${px(xs[at])} ${px(ys[at])}h.01`);
    }
    for (const [colour, drawn] of paths) if (drawn.length) group.append(draw("path", { d: drawn.join(""), stroke: colour, "stroke-width": DOT, "stroke-linecap": "round", "stroke-opacity": 0.75, fill: "none" }));
  }

  const written = (text, x, y, { fill, anchor = "middle", ground = null, ...more }) => draw("text", {
    x: px(x), y: px(y), fill, "text-anchor": anchor, "font-size": FONT, ...(ground ? { stroke: ground, "stroke-width": 3, "stroke-linejoin": "round", "paint-order": "stroke" } : {}), ...more,
  }, text);

  function cross(group, panel, { origin, axes }, palette) {
    const [across, up] = panel.plane;
    const [x, y] = [panel.x(origin[across]), panel.y(origin[up])];
    const [left, right, top, bottom] = [panel.left, panel.left + panel.wide, panel.top, panel.top + panel.high];
    const isLine = axes.length === 1;
    group.append(draw("path", { d: isLine ? `M${px(left)} ${px(y)}H${px(right)}M${px(x)} ${px(y - 6)}V${px(y + 6)}` : `M${px(left)} ${px(y)}H${px(right)}M${px(x)} ${px(top)}V${px(bottom)}`, stroke: palette.line, fill: "none", "stroke-width": 1 }));
  }

  // What the axes are called, at their ends.
  function ends(group, panel, { origin, axes }, palette) {
    const [across, up] = panel.plane;
    const [x, y] = [panel.x(origin[across]), panel.y(origin[up])];
    const look = { fill: palette.muted, ground: palette.ground };
    const right = panel.left + panel.wide;
    group.append(written(axes[across], right, Math.min(panel.top + panel.high - 4, y + (axes.length === 1 ? BELOW : LINE)), { ...look, anchor: "end" }));
    if (axes.length === 1) return;
    const wide = measured(axes[up]);
    const aside = x < panel.left + panel.wide / 2 ? x + 4 : x - 4 - wide;
    group.append(written(axes[up], Math.max(panel.left, Math.min(right - wide, aside)), panel.top + FONT - 2, { ...look, anchor: "start" }));
  }

  function sphere(group, panel, { sphere: radius, origin, axes }, palette) {
    if (!radius) return;
    const [across, up] = panel.plane;
    const [x, y, r] = [panel.x(origin[across]), panel.y(origin[up]), radius * panel.scale];
    const look = { stroke: palette.muted, "stroke-dasharray": "3 3", fill: "none" };
    group.append(axes.length === 1 ? draw("path", { d: [-r, r].map((away) => `M${px(x + away)} ${px(y - 12)}V${px(y + 12)}`).join(""), ...look }) : draw("circle", { cx: px(x), cy: px(y), r: px(r), ...look }));
  }

  function means(group, panel, { means: { x, y, z, text, colours }, line }, palette) {
    const [xs, ys] = panel.plane.map((axis) => [x, y, z][axis]);
    const marks = text.map((one, at) => ({ text: short(one), x: panel.x(xs[at]), y: panel.y(ys[at]), colour: colours[at] }));
    if (line !== "none" && marks.length > 1) group.append(draw("path", { d: `M${marks.map((mark) => `${px(mark.x)} ${px(mark.y)}`).join("L")}${line === "closed" ? "Z" : ""}`, stroke: palette.muted, "stroke-width": 1.5, fill: "none" }));
    for (const mark of marks) group.append(draw("circle", { cx: px(mark.x), cy: px(mark.y), r: MARK, fill: mark.colour, stroke: palette.ground, "stroke-width": 2 }));
    const named = marks.map((mark) => ({ left: mark.x - panel.left, top: mark.y - panel.top, radius: MARK, width: measured(mark.text), before: null }));
    atlas.names.place(named, panel.wide, panel.high).forEach((place, at) => {
      if (place) group.append(written(marks[at].text, panel.left + place.left, panel.top + place.top + BASE, { fill: palette.text, ground: palette.ground, "data-name": "" }));
    });
  }

  // The picture of a cloud: an SVG and, for each panel, where its points lie.
  function picture(cloud, width, palette) {
    const shown = cloud.axes.length === 1 ? piled(cloud) : cloud;
    const panels = layout(shown, width);
    const height = Math.max(...panels.map(({ top, high }) => top + high));
    const svg = draw("svg", { xmlns: "http://www.w3.org/2000/svg", viewBox: `0 0 ${px(width)} ${px(height)}`, width: px(width), height: px(height), "font-family": FAMILY });
    const drawn = panels.map(scaled).map((panel) => {
      const group = draw("g", { "data-panel": "" });
      const [xs, ys] = [panel.x, panel.y].map((place, at) => Float32Array.from([shown.x, shown.y, shown.z][panel.plane[at]], place));
      cross(group, panel, shown, palette);
      sphere(group, panel, shown, palette);
      dots(group, xs, ys, shown.colours, palette);
      ends(group, panel, shown, palette);
      means(group, panel, shown, palette);
      svg.append(group);
      return { ...panel, xs, ys };
    });
    return { svg, panels: drawn, height };
  }

  const palettes = new Map();   // by scheme: the answer costs a layout

  // The colours of the page that a picture is drawn in.
  function palette() {
    const scheme = atlas.scheme.name();
    if (!palettes.has(scheme)) {
      const probe = make("span", { hidden: "" });
      document.body.append(probe);
      const read = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
      palettes.set(scheme, Object.fromEntries(["text", "muted", "line", "ground"].map((name) => [name, read(name)])));
      probe.remove();
    }
    return palettes.get(scheme);
  }

  class Projections {
    #box; #on; #cloud = null; #panels = []; #svg = null; #overlay = null; #width = 0; #at = null; #pinned = null; #under = null; #tool = "turn"; #drag = null;

    constructor(box, on) {
      [this.#box, this.#on] = [box, on];
      new ResizeObserver(() => { if (box.clientWidth !== this.#width) this.#draw(); }).observe(box);
      box.addEventListener("pointermove", (event) => this.#moved(event));
      box.addEventListener("pointerleave", () => this.#point(null));
      box.addEventListener("pointerdown", (event) => this.#down(event));
      box.addEventListener("pointerup", (event) => this.#up(event));
      box.addEventListener("pointercancel", () => this.#drop());
      box.addEventListener("keydown", (event) => this.#key(event));
      box.addEventListener("blur", () => this.#point(null));
    }

    async show(cloud) {
      if (this.#cloud?.key !== cloud.key) [this.#at, this.#pinned] = [null, null];
      this.#cloud = cloud;
      this.#box.setAttribute("aria-label", atlas.words.spelled(`${cloud.title}, on its axes. The keys . and , go from point to point.`));
      this.#draw();
      this.#box.dataset.ready = "";
    }

    // colours: of the points; means: those of the class means.
    recolour({ colours, means: marked }) {
      this.#cloud = { ...this.#cloud, colours, means: { ...this.#cloud.means, colours: marked } };
      this.#draw();
      this.#box.dataset.ready = "";
    }

    pin(index) {
      this.#pinned = index;
      this.#ring();
    }

    // Nothing here turns.
    camera() {}
    follow() {}
    spin() {}
    settled() {}

    tool(name) {
      this.#tool = name;
      this.#box.dataset.tool = name;
      this.#on.tool?.(name);
    }

    // All of it is in sight.
    selectInSight() { this.#on.select(Array.from(this.#cloud.x, (_, at) => at)); }

    async png({ width, height }) {
      const picture = new Image();
      picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(this.svg({ width }).outerHTML)}`;
      await picture.decode();
      const canvas = document.createElement("canvas");
      Object.assign(canvas, { width: 2 * width, height: Math.round(2 * Math.max(height, width / picture.width * picture.height)) });
      const brush = canvas.getContext("2d");
      brush.scale(2, 2);
      brush.drawImage(picture, 0, 0);
      return canvas.toDataURL("image/png");
    }

    // The picture by itself, on its ground.
    svg({ width }) { return standalone(this.#cloud, width, palette()); }

    #draw() {
      this.#width = this.#box.clientWidth;
      if (!this.#cloud || !this.#width) return;
      const { svg, panels } = picture(this.#cloud, this.#width, palette());
      svg.setAttribute("aria-hidden", "true");   // the box has its name
      this.#overlay = draw("g");
      svg.append(this.#overlay);
      this.#box.replaceChildren(svg);
      [this.#svg, this.#panels] = [svg, panels];
      this.#ring();
    }

    // Rings round the point that is meant, in every panel, and round the pinned one.
    #ring() {
      if (!this.#overlay) return;
      const ring = (index, r, wide) => this.#panels.map(({ xs, ys }) => draw("circle", { class: "ring", cx: px(xs[index]), cy: px(ys[index]), r, "stroke-width": wide }));
      const drag = this.#drag?.rectangle;
      this.#overlay.replaceChildren(
        ...(this.#pinned === null ? [] : ring(this.#pinned, 7, 2)),
        ...(this.#at === null ? [] : ring(this.#at, 5, 1.5)),
        ...(drag ? [draw("rect", { class: "area", ...drag })] : []),
      );
    }

    #point(index) {
      if (index === this.#at) return;
      this.#at = index;
      this.#ring();
      if (index === null) return this.#on.hover(null);
      const { left, top } = this.#svg.getBoundingClientRect();
      const { xs, ys } = this.#panels.find((one) => one === this.#under) ?? this.#panels[0];
      this.#on.hover(index, { left: left + xs[index], top: top + ys[index] });
    }

    #place({ clientX, clientY }) {
      const { left, top } = this.#svg.getBoundingClientRect();
      return [clientX - left, clientY - top];
    }

    #nearest([x, y]) {
      let [best, least] = [null, NEAR * NEAR];
      this.#under = this.#panels.findLast(({ left, top }) => x >= left && y >= top) ?? null;
      for (const { xs, ys } of this.#under ? [this.#under] : []) {
        for (let at = 0; at < xs.length; at += 1) {
          const far = (xs[at] - x) ** 2 + (ys[at] - y) ** 2;
          if (far < least) [best, least] = [at, far];
        }
      }
      return best;
    }

    #moved(event) {
      if (!this.#svg) return;
      const [x, y] = this.#place(event);
      if (!this.#drag) return this.#point(this.#nearest([x, y]));
      const { from } = this.#drag;
      if (!this.#drag.rectangle && Math.hypot(x - from[0], y - from[1]) < DRAG) return;
      this.#drag.rectangle = { x: Math.min(x, from[0]), y: Math.min(y, from[1]), width: Math.abs(x - from[0]), height: Math.abs(y - from[1]) };
      this.#point(null);
      this.#ring();
    }

    // A mouse draws an area whatever the tool, since there is nothing to turn; a finger scrolls unless it is to select.
    #down(event) {
      if (!this.#svg || event.button !== 0) return;
      const draws = event.pointerType === "mouse" || this.#tool === "select";
      this.#drag = { from: this.#place(event), rectangle: null };
      if (draws) this.#box.setPointerCapture(event.pointerId); else this.#drop();
      if (!draws) this.#point(this.#nearest(this.#place(event)));
    }

    #up(event) {
      const rectangle = this.#drag?.rectangle;
      this.#drop();
      if (!rectangle) return this.#on.pin(this.#nearest(this.#place(event)));
      const { x, y, width, height } = rectangle;
      const panel = this.#panels.find(({ left, top, wide, high }) => x + width / 2 >= left && x + width / 2 <= left + wide && y + height / 2 >= top && y + height / 2 <= top + high);
      if (!panel) return;
      const within = [];
      for (let at = 0; at < panel.xs.length; at += 1) if (panel.xs[at] >= x && panel.xs[at] <= x + width && panel.ys[at] >= y && panel.ys[at] <= y + height) within.push(at);
      this.#on.select(within);
    }

    #drop() {
      this.#drag = null;
      this.#ring();
    }

    // What Escape gives up first; false where there is nothing.
    #back() {
      if (this.#drag) this.#drop();
      else if (this.#tool === "select") this.tool("turn");
      else if (this.#pinned !== null) this.#on.pin(null);
      else if (this.#at !== null) this.#point(null);
      else return false;
      return true;
    }

    #key(event) {
      const { order } = this.#cloud ?? {};
      const step = { ".": 1, ",": -1 }[event.key];
      if (event.ctrlKey || event.metaKey || event.altKey || !order) return;
      if (step) this.#point(order[(order.indexOf(this.#at) + (this.#at === null && step < 0 ? 0 : step) + order.length) % order.length]);
      else if (event.key === "Enter" && this.#at !== null) this.#on.pin(this.#at);
      else if (event.key === "s") this.selectInSight();
      else if (event.key !== "Escape" || !this.#back()) return;
      event.preventDefault();
      event.stopPropagation();
    }
  }

  function standalone(cloud, width, colours) {
    const { svg, height } = picture(cloud, width, colours);
    svg.prepend(draw("rect", { width: px(width), height: px(height), fill: colours.ground }));
    return svg;
  }

  atlas.projections = { Projections, picture, palette, measured };
})();
