"use strict";
// The one three-dimensional scene of the site: a Plotly figure whose skeleton came from Python, joined to an expert's
// arrays. Browsers drop WebGL contexts beyond a dozen or so, so the same one serves every expert.
(() => {
  const { array, script } = atlas.payloads;
  // Beside this file, in a folder that is named after its content.
  const PLOTLY = new URL("../../vendor/plotly.js-gl3d-dist-min/plotly-gl3d.min.js", document.currentScript.src).href;
  const STEPS = 32000;
  const REACH = 1.04 * STEPS;
  const COLUMNS = 96;            // of a cloud with one axis
  const STROKE = 0.02 * STEPS;   // its origin's, to either side
  const MARKS = 0.1 * STEPS;     // below its points
  const NAME_BELOW = 52;         // px
  const LINE = 14;   // px from a name to one below it
  const NAME = 28;   // characters of a name that is drawn; the tip has it whole
  const EDGE = 4;    // px from a name to the edge of the scene
  const escaped = (text) => text.replace(/[&<>]/g, (character) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[character]);

  const ABOVE = { x: 0, y: 0, z: 1.75 };
  const isFlat = ({ axes: names }) => names.length < 3;

  const short = (text) => (Array.from(text).length > NAME ? `${Array.from(text).slice(0, NAME - 1).join("").trimEnd()}…` : text);

  // Plotly says that it has drawn even where there is no WebGL, so ask first.
  function hasWebGL() {
    try {
      const pen = document.createElement("canvas").getContext("webgl");
      pen?.getExtension("WEBGL_lose_context")?.loseContext();
      return Boolean(pen);
    } catch { return false; }
  }

  const CAMERA = ["eye", "center", "up"];
  function writeCamera(camera, zoom) {
    const numbers = CAMERA.flatMap((part) => [camera[part].x, camera[part].y, camera[part].z]);
    return [...numbers, zoom].map((number) => Number(number.toFixed(2))).join("_");
  }
  function readCamera(text) {
    const numbers = (text ?? "").split("_").map(Number);
    if (numbers.length !== 10 || !numbers.every(Number.isFinite)) return null;
    const part = (at) => ({ x: numbers[at], y: numbers[at + 1], z: numbers[at + 2] });
    return { eye: part(0), center: part(3), up: part(6), zoom: numbers[9] };
  }

  // How far a name that spans start to end must move to lie between the edges low and high; not at all where it is out of sight.
  function inside(start, end, low, high) {
    if (end < low || start > high) return 0;
    return start < low + EDGE ? low + EDGE - start : Math.min(0, high - EDGE - end);
  }

  // The lines through the origin, one per axis, and where their names stand; of a single axis a stroke says where its origin is.
  function axes([x, y, z], count) {
    const ends = [{ x: REACH, y, z }, { x, y: REACH, z }, { x, y, z: REACH }].slice(0, count);
    const pairs = ends.map((end, at) => [{ x, y, z, ["xyz"[at]]: -REACH }, end]);
    if (count === 1) pairs.push([{ x, y: y - STROKE, z }, { x, y: y + STROKE, z }]);
    const line = Object.fromEntries(["x", "y", "z"].map((axis) => [axis, pairs.flatMap(([from, to]) => [from[axis], to[axis], null])]));
    return { line, ends };
  }

  // Where axes lie flat the first one's name stands below its line, clear of the names of marks, and of the marks below a single axis.
  const beside = (axis, count, marks) => (axis > 0 || count > 2 ? {} : { yshift: count === 1 && marks ? -NAME_BELOW : -LINE });

  // A cloud of one number runs across. Points that would lie over each other are piled up, and the marks stand below them.
  function piled(cloud) {
    const x = array(cloud.x);
    const heights = atlas.cloud.piles(x, COLUMNS);
    const foot = -Math.max(...heights) / 2;
    const below = (values) => values.map(() => foot - MARKS);
    return { ...cloud, y: heights.map((height) => foot + height), means: { ...cloud.means, y: below(cloud.means.x) }, origin: [cloud.origin[0], foot - STEPS / COLUMNS, cloud.origin[2]] };
  }

  class Scene {
    #box; #tip; #drawn = 0; #cloud = null; #flat = null; #onCamera;

    constructor(box, tip, onCamera) {
      this.#box = box;
      this.#tip = tip;
      this.#onCamera = onCamera;
      box.addEventListener("pointermove", (event) => { this.pointer = event; this.#place(); });
      box.addEventListener("pointerleave", () => this.#hide());
      box.addEventListener("keydown", (event) => this.#key(event));
      if (!hasWebGL()) this.#flat = new Flat(box);
    }

    // of: { figure, x, y, z, colour, means: { x, y, z, colour, text }, axes, joined, closed, origin, camera, describe }; `axes` are
    // the names of the axes. Fewer than three are seen straight on.
    async show(of) {
      const turn = ++this.#drawn;
      const cloud = of.axes.length === 1 ? piled(of) : of;
      this.#cloud = cloud;
      this.#hide();
      this.#box.classList.toggle("one-axis", cloud.axes.length === 1);
      this.#box.setAttribute("aria-label", `${cloud.title}. Arrow keys ${isFlat(cloud) ? "move" : "turn"} it.`);
      if (this.#flat) this.#flat.show(cloud);
      else {
        await script(PLOTLY);
        if (turn !== this.#drawn) return;
        const first = !this.#box.classList.contains("js-plotly-plot");
        await Plotly.react(this.#box, this.#traces(cloud), this.#layout(cloud), { displayModeBar: false, responsive: true });
        if (first) this.#listen();
        this.#thin();
      }
      this.#box.dataset.ready = "";
    }

    #traces({ figure, x, y, z, colour, means, axes: names, joined, closed, origin }) {
      const [points, marks, line, cross] = figure.data;
      const around = (values) => (closed && values.length ? [...values, values[0]] : [...values]);
      return [
        { ...points, x, y, z, marker: { ...points.marker, color: colour } },
        { ...marks, x: means.x, y: means.y, z: means.z, marker: { ...marks.marker, color: means.colour } },
        { ...line, ...(joined ? { x: around(means.x), y: around(means.y), z: around(means.z) } : { x: [], y: [], z: [] }) },
        { ...cross, ...axes(origin, names.length).line },
      ];
    }

    #layout({ figure, means, axes: names, origin, camera, key }) {
      const [label, end] = figure.layout.scene.annotations;
      const view = readCamera(camera);
      const annotations = [
        ...means.text.map((text, at) => ({ ...label, x: means.x[at], y: means.y[at], z: means.z[at], text: escaped(short(text)) })),
        ...axes(origin, names.length).ends.map((place, axis) => ({ ...end, ...place, text: names[axis], ...beside(axis, names.length, means.text.length) })),
      ];
      const scene = { ...figure.layout.scene, annotations };
      if (isFlat(this.#cloud)) Object.assign(scene, { dragmode: "pan", camera: { ...scene.camera, eye: ABOVE } });
      if (view) scene.camera = { ...scene.camera, eye: view.eye, center: view.center, up: view.up };
      // Plotly fits the height; a scene taller than wide has to be fitted by its width.
      const wide = this.#box.clientWidth / this.#box.clientHeight;
      const zoom = view?.zoom ?? scene.aspectratio.x * (names.length === 1 ? wide : Math.min(1, wide));
      scene.aspectratio = { x: zoom, y: zoom, z: zoom };
      return { ...figure.layout, scene, uirevision: key };
    }

    #listen() {
      this.#box.on("plotly_hover", ({ points }) => {
        const point = points.find(({ curveNumber }) => curveNumber === 0);
        if (point) this.#point(point.pointNumber);
      });
      this.#box.on("plotly_unhover", () => this.#hide());
      this.#box.on("plotly_relayout", (changed) => {
        // A box that grew, or another cloud in it, is no turn of the camera.
        if (!Object.keys(changed).some((key) => key.startsWith("scene"))) return;
        const { camera, aspectratio } = this.#box._fullLayout.scene;
        this.#onCamera(writeCamera(camera, aspectratio.x));
      });
      new MutationObserver(() => this.#thin()).observe(this.#box, { childList: true, subtree: true });
    }

    // A name that would reach over the edge is moved inside. Of names that would lie over each other only the first is shown; its
    // mark stays. Plotly writes the names anew with each turn, so each turn is looked at.
    #thin() {
      const kept = [];
      const names = [...this.#box.querySelectorAll(".annotation-text")];
      const edge = this.#box.getBoundingClientRect();
      for (const name of names) Object.assign(name.style, { visibility: "visible", transform: "" });
      for (const name of names) {
        const drawn = name.getBoundingClientRect();
        const move = inside(drawn.left, drawn.right, edge.left, edge.right);
        if (move) name.style.transform = `translateX(${move}px)`;
        const [left, right, top, bottom] = [drawn.left + move, drawn.right + move, drawn.top, drawn.bottom];
        const free = kept.every((other) => right < other.left || left > other.right || bottom < other.top || top > other.bottom);
        if (free) kept.push({ left, right, top, bottom }); else name.style.visibility = "hidden";
      }
    }

    #key(event) {
      const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
      if (!step || !("ready" in this.#box.dataset)) return;
      event.preventDefault();
      if (this.#flat) return this.#flat.turn(...step);
      const { camera } = this.#box._fullLayout.scene;
      if (isFlat(this.#cloud)) return this.#move(camera, step);
      const { x, y, z } = camera.eye;
      const far = Math.hypot(x, y, z);
      const yaw = Math.atan2(x, z) + step[0];
      const pitch = Math.max(-1.5, Math.min(1.5, Math.asin(y / far) + step[1]));
      const eye = { x: far * Math.sin(yaw) * Math.cos(pitch), y: far * Math.sin(pitch), z: far * Math.cos(yaw) * Math.cos(pitch) };
      Plotly.relayout(this.#box, { "scene.camera": { ...camera, eye, up: { x: 0, y: 1, z: 0 } } });
    }

    #move({ center, eye, ...camera }, [right, up]) {
      const moved = (place) => ({ ...place, x: place.x + right, y: place.y + up });
      Plotly.relayout(this.#box, { "scene.camera": { ...camera, center: moved(center), eye: moved(eye) } });
    }

    #point(index) {
      this.#tip.replaceChildren(...this.#cloud.describe(index));
      this.#tip.hidden = false;
      this.#place();
    }

    #place() {
      if (this.#tip.hidden || !this.pointer) return;
      const { clientX, clientY } = this.pointer;
      const { offsetWidth, offsetHeight } = this.#tip;
      const left = Math.max(8, Math.min(innerWidth - offsetWidth - 8, clientX - offsetWidth / 2));
      const above = clientY - offsetHeight - 16;
      this.#tip.style.left = `${left}px`;
      this.#tip.style.top = `${above < 8 ? clientY + 20 : above}px`;
    }

    #hide() { this.#tip.hidden = true; }
  }

  // Where there is no WebGL: the same cloud on a 2-D canvas, turned by dragging or by its scene.
  class Flat {
    #canvas; #cloud; #first; #view;

    constructor(box) {
      this.#canvas = document.createElement("canvas");
      box.append(this.#canvas);
      this.#canvas.addEventListener("pointermove", (event) => {
        if (event.buttons) this.turn(-event.movementX / 150, event.movementY / 150);
      });
      new ResizeObserver(() => this.#paint()).observe(box);
    }

    show(cloud) {
      const decode = (values) => (values.bdata ? array(values) : values);
      this.#first = isFlat(cloud) ? atlas.cloud.STRAIGHT : atlas.cloud.VIEW;
      const colours = scale(cloud.figure.layout.coloraxis, cloud.colour);
      const [x, y, z] = [cloud.x, cloud.y, cloud.z].map(decode);
      const marks = scale(cloud.figure.layout.coloraxis, cloud.means.colour, cloud.colour);
      const means = cloud.means.text.map((text, at) => ({ x: cloud.means.x[at] / STEPS, y: cloud.means.y[at] / STEPS, z: cloud.means.z[at] / STEPS, colour: marks[at], text: short(text) }));
      this.#cloud = { ...cloud, means, points: Array.from(x, (_, at) => ({ x: x[at] / STEPS, y: y[at] / STEPS, z: z[at] / STEPS, colour: colours[at] })) };
      this.#view = { ...this.#first };
      this.#paint();
    }

    turn(yaw, pitch) {
      if (isFlat(this.#cloud)) return;
      this.#view.yaw += yaw;
      this.#view.pitch += pitch;
      this.#paint();
    }

    #paint() {
      const { clientWidth: width, clientHeight: height } = this.#canvas.parentElement;
      if (!this.#cloud || !width) return;
      const pen = atlas.cloud.prepare(this.#canvas, width, height);
      const size = Math.min(width, height) / 2 / 1.35;
      const project = atlas.cloud.projection(this.#view);
      const at = (x, y, z) => project(x, y, z).map((value) => value * size);
      const { layout, data } = this.#cloud.figure;
      const { line } = axes(this.#cloud.origin, this.#cloud.axes.length);
      this.#lines(pen, at, [line.x, line.y, line.z].map((values) => values.map((value) => value === null ? null : value / STEPS)), data[3].line.color);
      atlas.cloud.dots(pen, this.#cloud.points, this.#view, { scale: size, radius: 1.8 });
      const means = this.#cloud.means;
      if (this.#cloud.joined) {
        const path = this.#cloud.closed ? [...means, ...means.slice(0, 1)] : means;
        this.#lines(pen, at, ["x", "y", "z"].map((axis) => path.map((mean) => mean[axis])), data[2].line.color);
      }
      atlas.cloud.dots(pen, means, this.#view, { scale: size, radius: 4.5, solid: true });
      pen.scale(1, -1);
      pen.fillStyle = layout.font.color;
      pen.font = `12px ${layout.font.family}`;
      pen.textAlign = "center";
      const kept = [];
      for (const mean of means) {
        const [middle, y] = at(mean.x, mean.y, mean.z);
        const half = pen.measureText(mean.text).width / 2;
        const x = middle + inside(middle - half, middle + half, -width / 2, width / 2);
        if (kept.some((other) => Math.abs(other.x - x) < other.half + half && Math.abs(other.y - y) < LINE)) continue;
        kept.push({ x, y, half });
        pen.fillText(mean.text, x, -y - 9);
      }
    }

    #lines(pen, at, [xs, ys, zs], colour) {
      pen.strokeStyle = colour;
      pen.lineWidth = 1;
      pen.beginPath();
      let up = true;
      xs.forEach((x, index) => {
        if (x === null) { up = true; return; }
        const [left, top] = at(x, ys[index], zs[index]);
        if (up) pen.moveTo(left, top); else pen.lineTo(left, top);
        up = false;
      });
      pen.stroke();
    }
  }

  // Colours of values on a Plotly colour axis.
  function scale({ colorscale, cmin, cmax }, values, over = values) {
    const low = cmin ?? over.reduce((least, value) => Math.min(least, value), Infinity);
    const high = cmax ?? over.reduce((most, value) => Math.max(most, value), -Infinity);
    return Array.from(values, (value) => {
      const place = high > low ? (value - low) / (high - low) : 0;
      const above = Math.max(1, colorscale.findIndex(([stop]) => stop >= place));
      const [[from, one], [to, other]] = [colorscale[above - 1], colorscale[above]];
      return mix(one, other, to > from ? Math.max(0, (place - from) / (to - from)) : 0);
    });
  }

  function mix(one, other, share) {
    const channel = (colour, at) => parseInt(colour.slice(at, at + 2), 16);
    return `rgb(${[1, 3, 5].map((at) => Math.round(channel(one, at) * (1 - share) + channel(other, at) * share)).join(" ")})`;
  }

  atlas.scene = { Scene };
})();
