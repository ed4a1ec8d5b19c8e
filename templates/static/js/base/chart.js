"use strict";
// A curve over two axes with units. Pointer, focus and arrow keys read its points out.
(() => {
  const { make, draw, number, say } = atlas.words;
  const PAD = { left: 52, right: 10, top: 28, bottom: 34 };
  const TOWER = 50;   // times the median
  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

  // Round numbers over a range, at most `most` of them.
  function ticks(low, high, most) {
    const rough = (high - low) / most;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough * (1 - 1e-9));
    const first = Math.ceil(low / step - 1e-9);
    return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, at) => Number(((first + at) * step).toPrecision(12)));
  }

  function decades(low, high, most) {
    const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
    const stride = Math.max(1, Math.ceil((last - first + 1) / most));
    return Array.from({ length: Math.floor((last - first) / stride) + 1 }, (_, at) => Number((10 ** (first + at * stride)).toPrecision(12)));
  }

  // A number as words give it, but a very small one as a power of ten.
  const tiny = (value) => value !== 0 && Math.abs(value) < 1e-4;
  const exponential = (value) => Number(value.toPrecision(3)).toExponential().replaceAll("-", "−");
  const figure = (value) => (tiny(value) ? exponential(value) : number(value));
  const tick = (value) => (tiny(value) ? exponential(value) : compact.format(value).replace("-", "−"));

  // Where the axis begins and ends. A logarithmic one goes from decade to decade; another begins at 0 unless that squeezes the curve.
  function range(values, log) {
    let [low, high] = [Infinity, -Infinity];
    for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
    if (log) {
      const ends = [Math.floor(Math.log10(low) + 1e-9), Math.ceil(Math.log10(high) - 1e-9)];
      return [10 ** ends[0], 10 ** Math.max(ends[1], ends[0] + 1)];
    }
    if (low >= 0 && low <= high / 2) low = 0;
    if (low === high) [low, high] = low === 0 ? [0, 1] : [Math.min(low, 0), Math.max(high, 0)];
    const step = ticks(low, high, 4);
    const stride = step.length > 1 ? step[1] - step[0] : high - low;
    return [Math.floor(low / stride + 1e-9) * stride, Math.ceil(high / stride - 1e-9) * stride];
  }

  // of: { title, x, y, log, xName, yName, height, tickY, tell(at), summary, last, bands, rule }. A band shades from one x to another and
  // is named above the plot, at its side; a rule is a line across at one y; the x
  // axis goes to `last`, or to the last x. x ascends.
  class Curve {
    #of; #picture; #says; #cursor; #at = null; #width = 0;

    constructor(of) {
      this.#of = of;
      this.#says = make("output", { class: "says" });
      this.#picture = draw("svg", { role: "img", tabindex: "0", "aria-label": `${of.title}: ${of.summary}`, height: of.height });
      this.#picture.addEventListener("pointermove", (event) => this.#read(this.#nearest(event.clientX - this.#picture.getBoundingClientRect().left)));
      this.#picture.addEventListener("pointerleave", () => this.#rest());
      this.#picture.addEventListener("focus", () => this.#read(this.#at ?? of.x.length - 1));
      this.#picture.addEventListener("blur", () => this.#rest());
      this.#picture.addEventListener("keydown", (event) => this.#step(event));
      this.element = make("figure", { class: "chart" }, make("figcaption", {}, make("b", {}, of.title), this.#says), this.#picture);
      this.#rest();
    }

    // Draws for the room that there is, so that letters keep their size.
    fit() {
      const width = this.element.clientWidth;
      if (width === 0 || width === this.#width) return;
      this.#width = width;
      this.#draw();
    }

    #draw() {
      const { x, y, log, xName, yName, height, bands = [], rule = null } = this.#of;
      const tickY = this.#of.tickY ?? tick;
      const yRange = range(rule === null ? y : [...y, rule], log);
      const end = this.#of.last ?? x.at(-1);
      const xRange = end > x[0] ? [x[0], end] : [x[0] - 1, x[0] + 1];
      const [right, foot] = [this.#width - PAD.right, height - PAD.bottom];
      const level = log ? Math.log10 : (value) => value;
      const ax = (value) => PAD.left + (value - xRange[0]) / (xRange[1] - xRange[0]) * (right - PAD.left);
      const ay = (value) => foot - (level(value) - level(yRange[0])) / (level(yRange[1]) - level(yRange[0])) * (foot - PAD.top);
      const text = (className, attributes, words) => draw("text", { class: className, ...attributes }, words);
      this.#picture.setAttribute("width", this.#width);
      this.#picture.setAttribute("viewBox", `0 0 ${this.#width} ${height}`);
      this.#picture.replaceChildren();
      for (const { from, to, name, side } of bands) {
        const [left, until] = [ax(Math.max(from, xRange[0])), ax(Math.min(to, xRange[1]))];
        this.#picture.append(
          draw("rect", { class: "band", x: left, y: PAD.top, width: Math.max(2, until - left), height: foot - PAD.top }),
          text("band-name", { x: side === "start" ? left : right, y: PAD.top - 6, "text-anchor": side }, name));
      }
      for (const value of log ? decades(...yRange, 6) : ticks(...yRange, 4)) {
        this.#picture.append(draw("path", { class: "grid", d: `M${PAD.left} ${ay(value)}H${right}` }), text("tick", { x: PAD.left - 6, y: ay(value) + 4, "text-anchor": "end" }, tickY(value)));
      }
      if (rule !== null) this.#picture.append(draw("path", { class: "rule", d: `M${PAD.left} ${ay(rule)}H${right}` }));
      this.#picture.append(draw("path", { class: "axis", d: `M${PAD.left} ${foot}H${right}` }));
      for (const value of end > x[0] ? ticks(...xRange, this.#width < 400 ? 4 : 6) : x) {
        const last = ax(value) > right - 16;
        this.#picture.append(text("tick", { x: last ? right : ax(value), y: foot + 14, "text-anchor": last ? "end" : "middle" }, tick(value)));
      }
      this.#picture.append(text("unit", { x: right, y: height - 4, "text-anchor": "end" }, xName), text("unit", { x: 0, y: bands.length ? height - 4 : 12 }, log ? `${yName}, log` : yName));
      const points = Array.from(y, (value, at) => `${ax(x[at]).toFixed(1)} ${ay(value).toFixed(1)}`);
      this.#picture.append(y.length > 1 ? draw("path", { class: "curve", d: `M${points.join("L")}` }) : draw("circle", { class: "point", cx: ax(x[0]), cy: ay(y[0]), r: 3 }));
      this.#cursor = draw("g", { class: "cursor" });
      this.#picture.append(this.#cursor);
      this.#place = (at) => this.#cursor.replaceChildren(
        draw("path", { class: "hair", d: `M${ax(x[at])} ${PAD.top}V${foot}` }), draw("circle", { class: "point", cx: ax(x[at]), cy: ay(y[at]), r: 3.5 }));
      this.#nearest = (left) => {
        const wanted = xRange[0] + (left - PAD.left) / (right - PAD.left) * (xRange[1] - xRange[0]);
        const after = Array.prototype.findIndex.call(x, (value) => value >= wanted);
        if (after < 0) return x.length - 1;
        return after > 0 && wanted - x[after - 1] < x[after] - wanted ? after - 1 : after;
      };
    }

    #place = () => {};
    #nearest = () => 0;

    #read(at) {
      this.#at = at;
      say(this.#says, this.#of.tell(at));
      this.#place(at);
    }

    #rest() {
      this.#at = null;
      say(this.#says, this.#of.tell(this.#of.x.length - 1));
      this.#cursor?.replaceChildren();
    }

    #step(event) {
      const last = this.#of.x.length - 1;
      const stride = Math.max(1, Math.round(last / 64));
      const from = this.#at ?? last;
      const to = { ArrowLeft: from - stride, ArrowRight: from + stride, Home: 0, End: last }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      this.#read(Math.max(0, Math.min(last, to)));
    }
  }

  // Whether a few values stand so high that a linear axis would press all others to the ground.
  function towers(values) {
    const sorted = [...values].sort((one, other) => one - other);
    return sorted[0] > 0 && sorted.at(-1) > TOWER * sorted[sorted.length >> 1];
  }

  atlas.chart = { Curve, figure, towers, ticks };
})();
