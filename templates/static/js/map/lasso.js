"use strict";
// An area of the map, drawn freely or as a rectangle: its outline as a text for the address, and the dots inside.
(() => {
  const { OFF } = atlas.grid;
  const NEAR = 2;       // px by which an outline may be straightened
  const CORNERS = 32;   // at most, so that a link stays short
  const LEAST = 4;      // px that an outline is across, or it was a click
  const FAR = 99999;    // steps; the map ends long before

  // "x,y_x,y_…" ► [x0, y0, x1, y1, …]; null where that is no area.
  function parse(text) {
    const corners = (text ?? "").split("_").map((corner) => /^(-?\d{1,5}),(-?\d{1,5})$/.exec(corner));
    if (corners.length < 3 || corners.length > 2 * CORNERS || corners.includes(null)) return null;
    return Float64Array.from(corners.flatMap(([, x, y]) => [Number(x), Number(y)]));
  }

  const whole = (value) => Math.max(-FAR, Math.min(FAR, Math.round(value))) || 0;
  const text = (corners) => corners.map(([x, y]) => `${whole(x)},${whole(y)}`).join("_");

  function bounds(polygon) {
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let at = 0; at < polygon.length; at += 2) {
      [left, right] = [Math.min(left, polygon[at]), Math.max(right, polygon[at])];
      [low, high] = [Math.min(low, polygon[at + 1]), Math.max(high, polygon[at + 1])];
    }
    return { left, right, low, high };
  }

  // Sets out[row] to 1 for places inside, else to 0. An outline that crosses itself leaves out what it goes round twice, as it is filled on the map.
  function inside(polygon, xs, ys, out) {
    const { left, right, low, high } = bounds(polygon);
    for (let row = 0; row < xs.length; row += 1) {
      const [x, y] = [xs[row], ys[row]];
      const near = x >= left && x <= right && y >= low && y <= high && !(x === OFF && y === OFF);
      out[row] = near && odd(polygon, x, y) ? 1 : 0;
    }
    return out;
  }

  // Whether a line from a place to its right crosses the outline an odd number of times.
  function odd(polygon, x, y) {
    let crossed = false;
    let [fromX, fromY] = [polygon[polygon.length - 2], polygon[polygon.length - 1]];
    for (let at = 0; at < polygon.length; at += 2) {
      const [toX, toY] = [polygon[at], polygon[at + 1]];
      if ((fromY > y) !== (toY > y) && x < fromX + (toX - fromX) * (y - fromY) / (toY - fromY)) crossed = !crossed;
      [fromX, fromY] = [toX, toY];
    }
    return crossed;
  }

  // The corners of a closed outline that matter: none of the others lies farther than `near` from the line between its neighbours.
  function straightened(corners, near = NEAR) {
    const closed = [...corners, corners[0]];
    const kept = new Uint8Array(closed.length);
    kept[0] = kept[closed.length - 1] = 1;
    const open = [[0, closed.length - 1]];
    while (open.length) {
      const [from, to] = open.pop();
      let [far, most] = [-1, near];
      for (let at = from + 1; at < to; at += 1) {
        const aside = distance(closed[at], closed[from], closed[to]);
        if (aside > most) [far, most] = [at, aside];
      }
      if (far < 0) continue;
      kept[far] = 1;
      open.push([from, far], [far, to]);
    }
    const left = corners.filter((_, at) => kept[at]);
    return left.length > CORNERS ? straightened(corners, 1.5 * near) : left;
  }

  // From a point to a line between two others, which may be one.
  function distance([x, y], [fromX, fromY], [toX, toY]) {
    const [dx, dy] = [toX - fromX, toY - fromY];
    const along = Math.max(0, Math.min(1, ((x - fromX) * dx + (y - fromY) * dy) / (dx * dx + dy * dy || 1)));
    return Math.hypot(x - fromX - along * dx, y - fromY - along * dy);
  }

  const rectangle = ([left, top], [right, bottom]) => [[left, top], [right, top], [right, bottom], [left, bottom]];

  // An outline while it is drawn, in px on the canvas.
  class Outline {
    #tool; #points;

    // tool: "lasso" or "rectangle".
    constructor(tool, x, y) { [this.#tool, this.#points] = [tool, [[x, y]]]; }

    to(x, y) {
      const [lastX, lastY] = this.#points.at(-1);
      if (this.#tool === "lasso" && Math.hypot(x - lastX, y - lastY) < 1) return;
      if (this.#tool === "lasso") this.#points.push([x, y]);
      else this.#points = [this.#points[0], [x, y]];
    }

    get corners() { return this.#tool === "lasso" ? this.#points : rectangle(this.#points[0], this.#points.at(-1)); }

    // As the address has it; null where it is too small to hold anything. under(x, y): the steps under px.
    text(under) {
      const { left, right, low, high } = bounds(this.corners.flat());
      if (right - left < LEAST || high - low < LEAST) return null;
      const corners = this.#tool === "lasso" ? straightened(this.corners) : this.corners;
      return corners.length < 3 ? null : text(corners.map(([x, y]) => under(x, y)));
    }
  }

  // Draws an outline: a hairline, and a film that dots show through.
  function draw(pen, corners, colour) {
    pen.beginPath();
    for (const [x, y] of corners) pen.lineTo(x, y);
    pen.closePath();
    pen.fillStyle = pen.strokeStyle = colour;
    pen.globalAlpha = 0.08;
    pen.fill("evenodd");
    pen.globalAlpha = 1;
    pen.lineWidth = 1;
    pen.lineJoin = "round";
    pen.stroke();
  }

  atlas.lasso = { parse, text, inside, rectangle, draw, Outline };
})();
