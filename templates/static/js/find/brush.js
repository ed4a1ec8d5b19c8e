"use strict";
// A histogram of one amount with a range over it: two sliders whose stops are the edges of the bars, a brush for the pointer, and
// two fields for bounds that are typed. Knows the amount, never the address.
(() => {
  const { make, draw, number, say } = atlas.words;
  const HIGH = 36;   // of the bars, in px
  const GAP = 0.12;  // of a bar's width, on either side
  const DRAGGED = 3; // px that make a press a drag

  const exact = (value) => Number(value.toPrecision(12));   // 100 · 0.07 is 7.000000000000001
  const figure = (amount, value) => number(amount.percent ? exact(100 * value) : value);
  const unit = (amount) => (amount.percent ? "\u202f%" : "");
  const said = (amount, value) => figure(amount, value) + unit(amount);

  // "0.1–0.5 %", "≥ 0.1 %", "≤ 0.5 %"
  function span(amount, { low, high }) {
    if (low === null) return `≤ ${said(amount, high)}`;
    if (high === null) return `≥ ${said(amount, low)}`;
    return low === high ? said(amount, low) : `${figure(amount, low)}${low < 0 || high < 0 ? " to " : "–"}${said(amount, high)}`;
  }

  class Brush extends EventTarget {
    #amount; #last; #range = null; #all = null; #passing = null; #grip = null; #typing = null;
    #plot; #paths; #band; #low; #high; #least; #most; #readout;

    // Says "change" when another range is asked for, see `range`.
    constructor(amount) {
      super();
      this.#amount = amount;
      this.#last = amount.edges.length - 1;
      this.element = make("div", { class: "brush" });
      this.#sliders();
      this.#fields();
      this.#readout = make("p", { class: "readout" });
      this.element.append(this.#drawing(), this.#axis(), make("div", { class: "bounds" }, this.#least, " – ", this.#most, make("span", { class: "unit" }, unit(amount).trim())), this.#readout);
      this.#brushing();
      this.show(null);
    }

    // { low, high } with null where there is no bound; null where there is none at all.
    get range() { return this.#range; }

    // The range that is chosen ► sliders, fields and bars.
    show(range) {
      this.#range = range;
      const [low, high] = this.#places();
      this.#low.value = low;
      this.#high.value = high;
      for (const [slider, field, bound] of [[this.#low, this.#least, range?.low ?? null], [this.#high, this.#most, range?.high ?? null]]) {
        slider.setAttribute("aria-valuetext", bound === null ? "any" : said(this.#amount, bound));
        // What is being typed is not written over by an answer to what was typed before.
        if (field !== this.#typing && (document.activeElement !== field || field.ariaInvalid !== "true")) this.#write(field, bound);
      }
      this.#bars();
    }

    // How many experts each bar stands for, and how many are `missing` because it was not measured: of all, and of those that pass the
    // other filters.
    draw({ all, passing }) {
      [this.#all, this.#passing] = [all, passing];
      this.#bars();
      this.#tell(null);
    }

    // --- edges and bounds: a bar goes up to the next edge, of whole numbers up to the one before that ---

    #whole() { return this.#amount.scale === "whole"; }
    #lower(place) { return place <= 0 ? null : this.#amount.edges[place]; }
    #upper(place) { return place >= this.#last ? null : this.#end(place); }
    #end(place) { return this.#amount.edges[place] - (this.#whole() ? 1 : 0); }
    #isOne(place) { return this.#whole() && this.#end(place + 1) === this.#amount.edges[place]; }

    // The edges between which the range lies; a bound that was typed lies within a bar, which is then part of it.
    #places() {
      const { edges } = this.#amount;
      const { low = null, high = null } = this.#range ?? {};
      let [from, to] = [0, this.#last];
      if (low !== null) while (from < this.#last - 1 && edges[from + 1] <= low) from += 1;
      if (high !== null) while (to > 1 && (this.#whole() ? edges[to - 1] > high : edges[to - 1] >= high)) to -= 1;
      return [from, Math.max(to, from + 1)];
    }

    #choose(low, high) { this.#ask({ low: this.#lower(low), high: this.#upper(high) }); }

    #ask({ low, high }) {
      const range = low === null && high === null ? null : { low, high };
      if (range?.low === this.#range?.low && range?.high === this.#range?.high) return this.show(this.#range);
      this.show(range);
      this.dispatchEvent(new Event("change"));
    }

    // --- sliders: each keeps one bar to itself, so that neither can hide or hold the other ---

    #sliders() {
      const slider = (side, name) => make("input", { type: "range", class: side, min: 0, max: this.#last, step: 1, "aria-label": `${capital(this.#amount.title)}, ${name}` });
      [this.#low, this.#high] = [slider("low", "at least"), slider("high", "at most")];
      this.#low.addEventListener("input", () => this.#slid(Math.min(Number(this.#low.value), this.#places()[1] - 1), null));
      this.#high.addEventListener("input", () => this.#slid(null, Math.max(Number(this.#high.value), this.#places()[0] + 1)));
    }

    // The bound that was not moved stays as it was, even between two stops.
    #slid(low, high) {
      const { low: least = null, high: most = null } = this.#range ?? {};
      this.#ask({ low: low === null ? least : this.#lower(low), high: high === null ? most : this.#upper(high) });
    }

    // --- fields ---

    #fields() {
      const { title, percent } = this.#amount;
      const field = (name, side) => {
        const made = make("input", { type: "text", inputmode: "decimal", autocomplete: "off", size: 6, placeholder: "any", "aria-label": `${name} ${title}${percent ? " in percent" : ""}` });
        made.addEventListener("input", () => { this.#typing = made; });
        made.addEventListener("blur", () => { this.#typing = null; });
        made.addEventListener("change", () => this.#typed(made, side));
        made.addEventListener("keydown", (event) => {
          if (event.key === "Enter") this.#typed(made, side);
          if (event.key !== "Escape" || made.ariaInvalid !== "true") return;
          event.preventDefault();
          this.#write(made, this.#range?.[side] ?? null);
          this.#tell(null);
        });
        return made;
      };
      [this.#least, this.#most] = [field("Least", "low"), field("Largest", "high")];
    }

    #write(field, bound) {
      field.ariaInvalid = null;
      field.value = bound === null ? "" : plain(this.#amount, bound);
    }

    // What was typed last stands: another bound beyond which it lies is taken back.
    #typed(field, side) {
      this.#typing = null;
      const bound = read(this.#amount, field.value);
      if (Number.isNaN(bound)) {
        field.ariaInvalid = "true";
        say(this.#readout, `“${field.value.trim()}” is not a number.`);
        return;
      }
      field.ariaInvalid = null;
      this.#tell(null);
      const asked = { low: null, high: null, ...this.#range, [side]: bound };
      if (asked.low !== null && asked.high !== null && asked.low > asked.high) asked[side === "low" ? "high" : "low"] = null;
      this.#ask(asked);
    }

    // --- the brush ---

    #brushing() {
      const at = ({ clientX }) => {
        const box = this.#plot.getBoundingClientRect();
        return Math.max(0, Math.min(this.#last - 1, Math.floor(this.#last * (clientX - box.left) / box.width)));
      };
      this.#plot.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        const place = at(event);
        const [low, high] = this.#places();
        this.#grip = { place, x: event.clientX, low, high, before: this.#range, moves: this.#range !== null && place >= low && place < high, dragged: false };
        this.#plot.setPointerCapture(event.pointerId);
      });
      this.#plot.addEventListener("pointermove", (event) => {
        this.#tell(at(event));
        if (!this.#grip) return;
        this.#grip.dragged ||= Math.abs(event.clientX - this.#grip.x) > DRAGGED;
        if (this.#grip.dragged) this.#drag(at(event));
      });
      this.#plot.addEventListener("pointerup", (event) => {
        if (this.#grip && !this.#grip.dragged && !this.#grip.moves) this.#drag(at(event));
        this.#grip = null;
      });
      // The browser took the finger over to scroll the page.
      this.#plot.addEventListener("pointercancel", () => {
        if (this.#grip) this.#ask(this.#grip.before ?? { low: null, high: null });
        this.#grip = null;
      });
      this.#plot.addEventListener("pointerleave", () => this.#tell(null));
      this.#plot.addEventListener("dblclick", () => this.#ask({ low: null, high: null }));
    }

    #drag(place) {
      const { place: from, low, high, moves } = this.#grip;
      if (!moves) return this.#choose(Math.min(from, place), Math.max(from, place) + 1);
      const by = Math.max(-low, Math.min(this.#last - high, place - from));
      this.#choose(low + by, high + by);
    }

    // --- drawing ---

    #drawing() {
      this.#paths = { all: draw("path", { class: "all" }), out: draw("path", { class: "out" }), inside: draw("path", { class: "inside" }) };
      this.#band = draw("rect", { class: "band", y: 0, height: HIGH });
      const bars = draw("svg", { viewBox: `0 0 ${this.#last} ${HIGH}`, preserveAspectRatio: "none", "aria-hidden": "true" }, this.#band, ...Object.values(this.#paths));
      this.#plot = make("div", { class: "plot" }, bars);
      return make("div", { class: "brushed" }, this.#plot, this.#low, this.#high);
    }

    #axis() {
      const { edges } = this.#amount;
      const tick = (at, value) => {
        const made = make("span", {}, said(this.#amount, value));
        made.style.setProperty("--at", at);
        return made;
      };
      const isEach = this.#whole() && edges.slice(1).every((_, place) => this.#isOne(place));
      const marks = isEach
        ? edges.slice(0, -1).flatMap((value, place) => (this.#last <= 8 || place % Math.ceil(this.#last / 6) === 0 ? [tick((place + 0.5) / this.#last, value)] : []))
        : [...[0, middle(this.#amount)].map((place) => tick(place / this.#last, edges[place])), tick(1, this.#end(this.#last))];
      return make("div", { class: isEach ? "bar-axis centred" : "bar-axis", "aria-hidden": "true" }, ...marks);
    }

    #bars() {
      const [low, high] = this.#range ? this.#places() : [0, 0];
      this.#band.setAttribute("x", low);
      this.#band.setAttribute("width", high - low);
      if (!this.#passing) return;
      this.#paths.all.setAttribute("d", outline(this.#all, 0, this.#last));
      const most = largest(this.#passing);
      this.#paths.inside.setAttribute("d", outline(this.#passing, low, high, most));
      this.#paths.out.setAttribute("d", outline(this.#passing, 0, low, most) + outline(this.#passing, high, this.#last, most));
    }

    // What a bar stands for, or how many have none.
    #tell(place) {
      if (!this.#passing || this.#least.ariaInvalid === "true" || this.#most.ariaInvalid === "true") return;
      const { edges } = this.#amount;
      const here = () => (this.#isOne(place) ? said(this.#amount, edges[place]) : `${figure(this.#amount, edges[place])} to ${said(this.#amount, this.#end(place + 1))}`);
      const unmeasured = this.#passing.missing ? `${atlas.words.count(this.#passing.missing)} not measured` : "";
      this.#readout.textContent = place === null ? unmeasured : `${here()}: ${experts(this.#passing[place])}`;
    }
  }

  const experts = (number) => (number === 1 ? "1 expert" : `${atlas.words.count(number)} experts`);
  const capital = (text) => text[0].toUpperCase() + text.slice(1);
  const plain = (amount, value) => String(amount.percent ? exact(100 * value) : value);

  // A typed bound; null where the field is empty, NaN where it is no number.
  function read(amount, text) {
    const written = text.replace(/[%\s]/g, "").replace("−", "-").replace(",", ".");
    if (written === "") return null;
    const value = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(written) ? Number(written) : NaN;
    return amount.percent ? exact(value / 100) : value;
  }

  // The edge to name between the ends: near the middle, a power of ten where the axis goes by factors.
  function middle({ edges, scale }) {
    const half = Math.round((edges.length - 1) / 2);
    if (scale !== "log") return half;
    const tens = edges.flatMap((edge, place) => (edge > 0 && Number.isInteger(exact(Math.log10(edge))) ? [place] : []));
    const near = tens.filter((place) => Math.abs(place - half) <= edges.length / 5);
    return near.sort((one, other) => Math.abs(one - half) - Math.abs(other - half))[0] ?? half;
  }

  function largest(amounts) {
    let most = 1;
    for (const amount of amounts) if (amount > most) most = amount;
    return most;
  }

  // Bars from one edge to before another, by the square root of what they stand for: one expert among thousands can be seen too.
  function outline(amounts, from, to, most = largest(amounts)) {
    let path = "";
    for (let place = from; place < to; place += 1) {
      if (!amounts[place]) continue;
      const high = Math.max(1, HIGH * Math.sqrt(amounts[place] / most)).toFixed(1);
      path += `M${place + GAP} ${HIGH}v-${high}h${1 - 2 * GAP}v${high}z`;
    }
    return path;
  }

  atlas.brush = { Brush, said, span };
})();
