"use strict";
// A cloud in three dimensions. Plotly draws it, from a skeleton that came from Python and an expert's arrays; names, rings, the camera and what the
// reader does are ours. Browsers drop WebGL contexts beyond a dozen or so, so one scene serves every expert.
(() => {
  const { array } = atlas.payloads;
  const { camera } = atlas;
  const { STEPS, REACH } = camera;
  // Beside this file, in a folder that is named after its content; in a page that stands alone it is there already.
  const PLOTLY = globalThis.Plotly ? null : new URL("../../vendor/plotly.js-gl3d-dist-min/plotly-gl3d.min.js", document.currentScript.src).href;
  const COLUMNS = 96;            // of a cloud with one axis
  const STROKE = 0.02 * STEPS;   // its origin's, to either side
  const MARKS = 0.1 * STEPS;     // below its points
  const TURN = 150;              // ms from view to view
  const SPIN = 0.5;              // radians a second
  const CORNERS = 64;            // of a circle
  const SURFACE = 0.05;          // opacity of the threshold's sphere
  const PIXELS = 2;              // of the canvas to a px, at most
  const UNIT = 3;                // px that Plotly draws a mark of size 1 across
  const LARGE = 5;               // px across a point at most: few points are drawn larger than a thousand are
  const RING = 3;                // px by which the ring of a class mean is wider
  const POINTS = 0, MEANS = 2;   // places among the traces

  const stillness = matchMedia("(prefers-reduced-motion: reduce)");
  const plain = (values) => (values.bdata ? array(values) : values);

  // Plotly says that it has drawn even where there is no WebGL, so ask first.
  function hasWebGL() {
    try {
      const pen = document.createElement("canvas").getContext("webgl");
      pen?.getExtension("WEBGL_lose_context")?.loseContext();
      return Boolean(pen);
    } catch { return false; }
  }

  // --- what is drawn ---

  // Polylines [[place, …], …] as one trace's coordinates.
  function lines(paths) {
    const ends = (at) => paths.flatMap((path) => [...path.map((place) => place[at]), null]);
    return { x: ends(0), y: ends(1), z: ends(2) };
  }

  // The lines through the origin, one per axis, as far as they stay in the frame and in sight; of a single axis a stroke says where its origin is.
  function axes({ origin: [x, y, z], axes: { length: count }, reach }) {
    const end = (one, other) => (count < 3 ? REACH : Math.min(REACH, Math.sqrt(reach ** 2 - one ** 2 - other ** 2)));
    const [a, b, c] = [end(y, z), end(x, z), end(x, y)];
    const along = [[[-a, y, z], [a, y, z]], [[x, -b, z], [x, b, z]], [[x, y, -c], [x, y, c]]].slice(0, count);
    return count === 1 ? [...along, [[x, y - STROKE, z], [x, y + STROKE, z]]] : along;
  }

  // What lies as far from the origin as the threshold: a sphere's three great circles, of two axes a circle, of one a stroke to either side.
  function threshold(radius, [x, y, z], count) {
    if (!radius) return [];
    if (count === 1) return [-radius, radius].map((aside) => [[x + aside, y - STROKE, z], [x + aside, y + 3 * STROKE, z]]);
    const round = Array.from({ length: CORNERS + 1 }, (_, at) => [radius * Math.cos(2 * Math.PI * at / CORNERS), radius * Math.sin(2 * Math.PI * at / CORNERS)]);
    const circles = [round.map(([a, b]) => [x + a, y + b, z]), round.map(([a, b]) => [x + a, y, z + b]), round.map(([a, b]) => [x, y + a, z + b])];
    return circles.slice(0, count === 2 ? 1 : 3);
  }

  // A sphere as a mesh of points between its poles; Plotly finds the faces of what is convex.
  function surface(radius, [x, y, z], count) {
    if (!radius || count < 3) return { x: [], y: [], z: [] };
    const places = [[x, y + radius, z], [x, y - radius, z]];
    const rings = CORNERS / 4;
    for (let ring = 1; ring < rings; ring += 1) {
      const [high, wide] = [radius * Math.cos(Math.PI * ring / rings), radius * Math.sin(Math.PI * ring / rings)];
      for (let at = 0; at < CORNERS / 2; at += 1) places.push([x + wide * Math.cos(4 * Math.PI * at / CORNERS), y + high, z + wide * Math.sin(4 * Math.PI * at / CORNERS)]);
    }
    return { x: places.map(([one]) => one), y: places.map(([, one]) => one), z: places.map(([, , one]) => one), alphahull: 0 };
  }

  // A cloud of one number runs across. Points that would lie over each other are piled up, and the marks stand below them.
  function piled(cloud) {
    const heights = atlas.cloud.piles(cloud.x, COLUMNS);
    const foot = -Math.max(...heights) / 2;
    const below = (values) => values.map(() => foot - MARKS);
    return { ...cloud, y: heights.map((height) => foot + height), means: { ...cloud.means, y: below(cloud.means.x) }, origin: [cloud.origin[0], foot - STEPS / COLUMNS, cloud.origin[2]] };
  }

  // Of the skeleton's marks only what colours and sizes them is the expert's.
  function marked(trace, places, colours, size) {
    const sizes = size.map?.((one) => one / UNIT) ?? size / UNIT;
    return { ...trace, ...places, marker: { ...trace.marker, size: sizes, color: colours } };
  }

  function traces(skeleton, cloud) {
    const { x, y, z, colours, size, means, line: joined, origin, sphere, axes: names } = cloud;
    const [points, marks, line, cross] = skeleton.data;
    const path = means.x.map((_, at) => [means.x[at], means.y[at], means.z[at]]);
    const drawn = joined === "none" ? [] : [joined === "closed" ? [...path, ...path.slice(0, 1)] : path];
    const { size: wide, line: ring, ...marker } = marks.marker;
    const at = { x: means.x, y: means.y, z: means.z };
    return [
      marked(points, { x, y, z }, colours, size ?? Math.max(points.marker.size, Math.min(LARGE, points.marker.size * (1000 / x.length) ** 0.25))),
      marked({ ...marks, marker }, at, ring.color, wide + RING),
      marked({ ...marks, marker }, at, means.colours, wide),
      { ...line, ...lines(drawn) },
      { ...cross, ...lines(axes(cloud)) },
      { ...cross, line: { ...cross.line, color: line.line.color }, ...lines(threshold(sphere, origin, names.length)) },
      { type: "mesh3d", hoverinfo: "skip", color: line.line.color, opacity: SURFACE, lighting: { ambient: 1, diffuse: 0, specular: 0 }, ...surface(sphere, origin, names.length) },
    ];
  }

  const seen = ([x, y, z]) => ({ x, y, z });
  const plotted = ({ eye, center, up }) => ({ eye: seen(eye), center: seen(center), up: seen(up), projection: { type: "orthographic" } });

  class Scene {
    #box; #says; #hand; #glass; #asked = null; #shown = null; #figure = null; #plot = null; #lost = false; #drawn = 0; #told = null; #aimed = null; #frame = null; #moving = null; #spinning = null; #size = [1, 1];
    cloud = null; view = null; hovered = null; pinned = null;

    // says: camera(text or null as it is at first), hover(index or null, { left, top } of it on the page), pin(index or null), select(indices);
    // also, where they are given, spin(on) and tool(name), which change by themselves.
    constructor(box, says) {
      this.#box = box;
      this.#says = says;
      this.#glass = new atlas.glass.Glass(box);
      this.#hand = new atlas.hand.Hand(this, box, this.#glass, says);
      new ResizeObserver(() => this.#fit()).observe(box);
    }

    get width() { return this.#size[0]; }
    get height() { return this.#size[1]; }
    // The zoom at which all of the cloud is in sight.
    get whole() { return camera.whole(this.cloud.reach); }
    get isSpinning() { return this.#spinning !== null; }

    // of: { key, title, x, y, z, colours, size, means: { x, y, z, text, colours }, line: "none", "open" or "closed", axes: names, origin, sphere: the
    // threshold in steps or null, order: points by strength, camera: text or null, reach: how far what shares its camera reaches, or null }. Fewer than three axes are seen straight on. Another key
    // is another cloud, which is seen as it is at first unless `camera` says otherwise.
    async show(of) {
      const turn = ++this.#drawn;
      if (of.key !== this.#asked?.key) this.pinned = null;
      const asked = this.#asked = { ...of, x: plain(of.x), y: plain(of.y), z: plain(of.z) };
      this.hover(null);
      const [figure] = await Promise.all([atlas.payloads.load("figure"), PLOTLY && atlas.payloads.script(PLOTLY)]);
      if (turn !== this.#drawn || this.#lost) return;
      const isOther = this.cloud?.key !== asked.key;
      const count = asked.axes.length;
      this.cloud = { ...(count === 1 ? piled(asked) : asked), reach: Math.max(camera.reach(asked), asked.reach ?? 0) };
      this.#figure = figure[atlas.scheme.name()];
      this.#box.classList.toggle("one-axis", count === 1);
      this.#box.setAttribute("aria-label", atlas.words.spelled(`${asked.title}. Arrow keys ${count < 3 ? "move" : "turn"} it.`));
      this.#measure();
      if (isOther || (asked.camera ?? null) !== this.#told) this.#start(asked.camera ?? null);
      await this.#draw();
    }

    #start(text) {
      this.#stop();
      this.#hand.forget();
      this.#told = text;
      this.view = this.#named(text) ?? this.#named("front");
    }

    #named(text) { return camera.read(text, this.cloud.axes.length, this.whole); }

    async #draw() {
      const turn = this.#drawn;
      if (!this.#plot) {
        this.#plot = atlas.words.make("div", { class: "space" });
        this.#box.prepend(this.#plot);
      }
      const { layout } = this.#figure;
      const scene = { ...layout.scene, camera: plotted(this.view), aspectratio: this.#ratio() };
      const config = { displayModeBar: false, scrollZoom: false, plotGlPixelRatio: PIXELS };
      await Plotly.react(this.#plot, traces(this.#figure, this.cloud), { ...layout, scene, width: this.width, height: this.height }, config);
      if (turn !== this.#drawn || this.#lost) return;
      const { glplot } = this.#gl;
      glplot.oncontextloss = () => this.#lose();
      // Plotly would draw everything once more, and read it back, to know what lies under a pointer that it never meets.
      for (const object of glplot.objects) object.drawPick = null;
      glplot.gl.readPixels = () => {};
      const { means, axes: names } = this.cloud;
      this.#glass.show({ means, axes: names, ends: axes(this.cloud).slice(0, names.length).map(([, end]) => end) });
      [this.#shown, this.#aimed] = [this.#asked, this.view];
      this.#see();
      this.#box.dataset.ready = "";
    }

    // Whether the cloud that was asked for last stands there.
    get #isDrawn() { return this.#asked !== null && this.#shown === this.#asked && !this.#lost; }

    get #gl() { return this.#plot._fullLayout.scene._scene; }

    #ratio() {
      const zoom = this.view.zoom * camera.fit(this.cloud.axes.length, this.width, this.height);
      return { x: zoom, y: zoom, z: zoom };
    }

    // Same coordinates, other colours.
    async recolour({ colours, means }) {
      for (const cloud of [this.#asked, this.cloud]) if (cloud) Object.assign(cloud, { colours, means: { ...cloud.means, colours: means } });
      if (!this.#isDrawn) return;
      Object.assign(this.#plot.layout.scene, { camera: plotted(this.view), aspectratio: this.#ratio() });   // else it turns back as it is drawn
      await Plotly.restyle(this.#plot, { "marker.color": [colours, means] }, [POINTS, MEANS]);
      this.#see();
      this.#box.dataset.ready = "";
    }

    // --- how it is seen ---

    // Where a place in steps is seen: left, top, and how near.
    project() { return camera.projection(this.view, this.cloud.axes.length, this.width, this.height); }

    look(view) {
      const isTurned = view !== this.view;
      this.view = view;
      if (isTurned) this.#says.turned?.(view);
      this.#frame ??= requestAnimationFrame(() => this.#see());
    }

    #see() {
      cancelAnimationFrame(this.#frame);
      this.#frame = null;
      if (!this.#isDrawn) return;
      if (this.view !== this.#aimed) {   // what lies over the cloud may change alone
        this.#gl.setViewport({ camera: plotted(this.view), aspectratio: this.#ratio() });
        this.#gl.glplot.redraw();
        this.#aimed = this.view;
      }
      this.#glass.see(this.project(), this.#points, this.width, this.height);
    }

    #place(index) { return index === null || index >= this.cloud.x.length ? null : [this.cloud.x[index], this.cloud.y[index], this.cloud.z[index]]; }
    get #points() { return { pointed: this.#place(this.hovered), pinned: this.#place(this.pinned) }; }

    #measure() { this.#size = [this.#box.clientWidth || 1, this.#box.clientHeight || 1]; }

    #fit() {
      const { clientWidth: width, clientHeight: height } = this.#box;
      if (!width || !height || !this.#isDrawn || (width === this.width && height === this.height)) return;
      this.#measure();
      this.#aimed = null;
      Plotly.relayout(this.#plot, { width, height }).then(() => this.#see());
    }

    // As the address says, which says again what it heard from here.
    follow(text) { if (text !== this.#told) this.camera(text); }

    // By name (front, 1, 2, 3, reset) or by the text of the address.
    camera(text) {
      if (!this.#isDrawn) {
        if (this.#asked) this.#asked.camera = text;
        return;
      }
      const view = this.#named(text === null || text === "reset" ? "front" : text);
      if (view) this.#move(view);
    }

    #move(view) {
      this.#stop();
      const [from, start] = [this.view, performance.now()];
      const step = (now) => {
        const share = stillness.matches ? 1 : Math.min(1, Math.max(0, now - start) / TURN);
        this.look(camera.between(from, view, 1 - (1 - share) ** 3));
        if (share < 1) this.#moving = requestAnimationFrame(step);
        else this.settled();
      };
      step(start);
    }

    // Whatever moves by itself stands still.
    #stop() {
      cancelAnimationFrame(this.#moving);
      cancelAnimationFrame(this.#spinning);
      if (this.isSpinning) this.#says.spin?.(false);
      this.#moving = this.#spinning = null;
    }

    // The reader has turned it: the address hears of it.
    settled() {
      if (!this.#isDrawn || !this.#box.checkVisibility()) return;
      const isFirst = camera.write(this.view) === camera.write(this.#named("front"));
      this.#told = this.#asked.camera = isFirst ? null : camera.named(this.view, this.whole) ?? camera.write(this.view);
      this.#says.camera(this.#told);
    }

    // Turns it slowly, until it is told otherwise, touched, or out of sight.
    spin(on) {
      if (on === this.isSpinning || (on && (!this.#isDrawn || this.cloud.axes.length < 3))) return;
      this.#stop();
      if (!on) return this.settled();
      this.#says.spin?.(true);
      let last = performance.now();
      const step = (now) => {
        if (!this.#isDrawn || document.hidden || !this.#box.checkVisibility()) return this.#stop();
        this.look(camera.turned(this.view, SPIN * Math.max(0, now - last) / 1000, 0));
        last = now;
        this.#spinning = requestAnimationFrame(step);
      };
      this.#spinning = requestAnimationFrame(step);
    }

    // --- points ---

    hover(index) {
      if (index === this.hovered) return;
      this.hovered = index;
      this.look(this.view);
      if (index === null) return this.#says.hover(null);
      const { left, top } = this.#box.getBoundingClientRect();
      const [x, y] = this.project()(...this.#place(index));
      this.#says.hover(index, { left: left + x, top: top + y });
    }

    // Marks a point; what is said of it is the caller's.
    pin(index) {
      this.pinned = index;
      this.look(this.view);
    }

    // The points in a rectangle on the glass, between two of its corners.
    inside([left, top], [right, bottom]) {
      const project = this.project();
      const { x, y, z } = this.cloud;
      return Array.from(x, (_, at) => at).filter((at) => {
        const [across, down] = project(x[at], y[at], z[at]);
        return (across - left) * (across - right) <= 0 && (down - top) * (down - bottom) <= 0;
      });
    }

    selectInSight() { this.#says.select(this.inside([0, 0], [this.width, this.height])); }

    // What a drag does: "turn", or "select" by a rectangle, as a drag with Shift always does.
    tool(name) {
      this.#hand.use(name);
      this.#says.tool?.(name);
    }

    // --- passing on ---

    // A picture with its names, as a data URL: as it is seen, so much larger that it fills width and height.
    async png({ width, height }) {
      const scale = width / this.width;
      const size = [this.width, height / scale];
      const { layout } = this.#plot;
      const project = camera.projection(this.view, this.cloud.axes.length, ...size);
      const zoom = this.view.zoom * camera.fit(this.cloud.axes.length, ...size);
      const scene = { ...layout.scene, camera: plotted(this.view), aspectratio: { x: zoom, y: zoom, z: zoom } };
      const drawn = await Plotly.toImage({ data: this.#plot.data, layout: { ...layout, scene }, config: { plotGlPixelRatio: PIXELS * scale } }, { format: "png", width: size[0], height: size[1], scale });
      const picture = new Image();
      picture.src = drawn;
      await picture.decode();
      const canvas = Object.assign(document.createElement("canvas"), { width, height });
      const pen = canvas.getContext("2d");
      pen.fillStyle = this.#glass.ground;
      pen.fillRect(0, 0, width, height);
      pen.drawImage(picture, 0, 0, width, height);
      pen.scale(scale, scale);
      this.#glass.write(pen, project, { ...this.#points, pointed: null }, ...size);
      return canvas.toDataURL("image/png");
    }

    // --- a context that is lost ---

    #lose() {
      if (this.#lost) return;
      this.#lost = true;
      this.#stop();
      delete this.#box.dataset.ready;
      this.#box.classList.add("lost");
      const again = atlas.words.make("button", { type: "button" }, "Draw again");
      const said = atlas.words.make("p", { class: "trouble", role: "alert" }, "The browser took the graphics memory of this picture away. ", again);
      again.addEventListener("click", async () => {
        said.remove();
        this.#box.classList.remove("lost");
        Plotly.purge(this.#plot);
        this.#plot.remove();
        [this.#plot, this.#lost] = [null, false];
        await this.show(this.#asked);   // another may have been asked for since
        this.#box.focus();
      });
      this.#box.append(said);
    }
  }

  atlas.scene = { Scene, hasWebGL };
})();
