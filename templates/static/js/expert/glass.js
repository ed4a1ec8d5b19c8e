"use strict";
// What lies over a cloud as it is seen: names at class means and at the ends of axes, rings round the points that are pointed at and pinned, and
// the rectangle that is drawn. Each has its place by the camera's own projection.
(() => {
  const { make, draw } = atlas.words;
  const MEAN = 5.5;           // px, a class mean's radius with its ring
  const END = -10;            // px: the name of an axis stands on its end
  const RINGS = { pointed: 5, pinned: 7 };   // px

  class Glass {
    #root; #drawing; #names = []; #texts = []; #rings; #outline; #family;

    constructor(box) {
      this.#rings = Object.fromEntries(Object.keys(RINGS).map((name) => [name, [draw("circle", { class: "ring-ground", r: RINGS[name] }), draw("circle", { class: `ring ${name}`, r: RINGS[name] })]]));
      this.#outline = draw("rect", { class: "outline" });
      this.#drawing = draw("svg", { "aria-hidden": "true" });
      this.#root = make("div", { class: "glass" }, this.#drawing);
      this.#family = getComputedStyle(box).fontFamily;
      box.append(this.#root);
    }

    get element() { return this.#root; }

    // Names of means stand before those of axes' ends: they have the first choice of a place.
    show({ means, ends, axes }) {
      const name = (text, at, radius, kind) => ({ text: atlas.names.short(text), at, radius, kind, width: atlas.names.width(atlas.names.short(text), this.#family), before: null });
      this.#names = [
        ...means.text.map((text, at) => name(text, [means.x[at], means.y[at], means.z[at]], MEAN, "mean")),
        ...ends.map((end, axis) => name(axes[axis], end, END, "axis")),
      ];
      this.#texts = this.#names.map(({ text, kind }) => draw("text", { class: `name ${kind}` }, text));
      this.#drawing.replaceChildren(...Object.values(this.#rings).flat(), ...this.#texts, this.#outline);
      this.rectangle(null);
    }

    // The names with their places, in px.
    #placed(project, width, height, isFresh) {
      const marks = this.#names.map((name) => {
        const [left, top] = project(...name.at);
        return { left, top, radius: name.radius, width: name.width, before: isFresh ? null : name.before };
      });
      return atlas.names.place(marks, width, height);
    }

    // project: the camera's; points: places of what is `pointed` at and `pinned`, null for none.
    see(project, points, width, height) {
      this.#placed(project, width, height, false).forEach((place, at) => {
        const text = this.#texts[at];
        text.setAttribute("visibility", place ? "visible" : "hidden");
        this.#names[at].before = place?.way ?? null;
        if (place) text.setAttribute("transform", `translate(${place.left.toFixed(1)} ${place.top.toFixed(1)})`);
      });
      for (const [name, rings] of Object.entries(this.#rings)) {
        const seen = points[name] && project(...points[name]);
        for (const ring of rings) {
          ring.setAttribute("visibility", seen ? "visible" : "hidden");
          if (seen) ring.setAttribute("transform", `translate(${seen[0].toFixed(1)} ${seen[1].toFixed(1)})`);
        }
      }
    }

    // corners: [[left, top], …] in px, null for none.
    rectangle(corners) {
      this.#outline.setAttribute("visibility", corners ? "visible" : "hidden");
      if (!corners) return;
      const [[left, top], , [right, bottom]] = corners;
      const place = { x: Math.min(left, right), y: Math.min(top, bottom), width: Math.abs(right - left), height: Math.abs(bottom - top) };
      for (const [name, value] of Object.entries(place)) this.#outline.setAttribute(name, value);
    }

    // The colour of the ground, as it is drawn here.
    get ground() { return getComputedStyle(this.#rings.pinned[0]).stroke; }

    // The same on a canvas' pen that measures in px.
    write(pen, project, points, width, height) {
      for (const [name, place] of Object.entries(points)) if (place) this.#rings[name].forEach((ring) => encircle(pen, project(...place), RINGS[name], getComputedStyle(ring)));
      pen.font = `${atlas.names.FONT}px ${this.#family}`;
      [pen.textAlign, pen.textBaseline, pen.lineJoin] = ["center", "middle", "round"];
      this.#placed(project, width, height, true).forEach((place, at) => {
        if (!place) return;
        const { fill, stroke, strokeWidth } = getComputedStyle(this.#texts[at]);
        [pen.fillStyle, pen.strokeStyle, pen.lineWidth] = [fill, stroke, Number.parseFloat(strokeWidth)];
        pen.strokeText(this.#names[at].text, place.left, place.top);
        pen.fillText(this.#names[at].text, place.left, place.top);
      });
    }
  }

  function encircle(pen, [left, top], radius, { stroke, strokeWidth }) {
    [pen.strokeStyle, pen.lineWidth] = [stroke, Number.parseFloat(strokeWidth)];
    pen.beginPath();
    pen.arc(left, top, radius, 0, 2 * Math.PI);
    pen.stroke();
  }

  atlas.glass = { Glass };
})();
