"use strict";
// Experts by labels on a canvas: a row for each expert, a column for each label, darker where it fires more. What is pointed at, or where
// the arrow keys are, is read out in words; a click or Enter opens the expert.
(() => {
  const { make, say, spelled } = atlas.words;
  const HIGH = 16;            // px of a row
  const WIDE = [4, 28];       // px of a column, at least and at most
  const SLANT = 50 * Math.PI / 180;
  const APART = 18;           // px between names of labels, at least
  const STRIDES = [1, 2, 5, 10, 20, 25, 50, 100];
  const LONGEST = 18;         // characters of a label's name
  const PAGE = 10;            // rows that a page key goes
  function short(text) {
    const signs = Array.from(spelled(text));
    return signs.length > LONGEST ? `${signs.slice(0, LONGEST - 1).join("").trimEnd()}…` : signs.join("");
  }

  class Heatmap {
    #root; #says; #head; #cells; #cursor; #names; #of = null; #wide = 0; #at = null; #open; #width = 0;

    // says: the element that reads out; open(row) is asked for by Enter or a click, a row by its place.
    constructor(root, says, open) {
      [this.#root, this.#says, this.#open] = [root, says, open];
      this.#head = make("canvas", { class: "heat-head", "aria-hidden": "true" });
      this.#cells = make("canvas", { class: "heat-cells", role: "img", tabindex: "0" });
      this.#cursor = make("div", { class: "heat-cursor", hidden: "" });
      this.#names = make("div", { class: "heat-names" });
      root.replaceChildren(make("div", { class: "heat-corner" }), this.#head, this.#names, make("div", { class: "heat-plot" }, this.#cells, this.#cursor));
      this.#cells.addEventListener("pointermove", (event) => this.#point(this.#under(event)));
      this.#cells.addEventListener("pointerleave", () => this.#rest());
      this.#cells.addEventListener("click", (event) => this.#open(this.#under(event).row));
      this.#cells.addEventListener("focus", () => this.#point(this.#at ?? { row: 0, label: 0 }));
      this.#cells.addEventListener("blur", () => this.#rest());
      this.#cells.addEventListener("keydown", (event) => this.#key(event));
      new ResizeObserver(() => this.#fit()).observe(root);
      atlas.scheme.changes.addEventListener("change", () => this.#draw());
    }

    // of: { summary, labels: names, rows: [{ number, text, way: attributes of its link }], shade(row, label) from 0 to 1, tell(row, label) }
    show(of) {
      [this.#of, this.#at] = [of, null];
      this.#cells.setAttribute("aria-label", spelled(of.summary));
      // A link for the pointer; the keyboard has the cells, and the table its own links.
      this.#names.replaceChildren(...of.rows.map(({ number, text, way }) => make("a", { ...way, tabindex: "-1", title: `${number} ${text}` }, make("b", {}, String(number)), make("span", {}, ` ${text}`))));
      this.#rest();
      this.#width = 0;
      this.#fit();
    }

    #fit() {
      const width = this.#root.clientWidth;
      if (!this.#of || !width || width === this.#width) return;
      this.#width = width;
      const { labels } = this.#of;
      const pen = this.#pen();
      const longest = Math.max(...labels.map((name) => pen.measureText(short(name)).width));
      const room = width - this.#names.offsetWidth - Math.cos(SLANT) * longest;
      this.#wide = Math.max(WIDE[0], Math.min(WIDE[1], Math.floor(room / labels.length)));
      this.#draw();
    }

    #pen() {
      const pen = this.#head.getContext("2d");
      pen.font = `12px ${getComputedStyle(this.#root).fontFamily}`;
      return pen;
    }

    #draw() {
      if (!this.#of || !this.#wide) return;
      const { labels, rows, shade } = this.#of;
      const [wide, style] = [this.#wide, getComputedStyle(this.#cells)];
      this.#title(wide, labels);
      const pen = prepared(this.#cells, wide * labels.length, HIGH * rows.length);
      const gap = wide >= 8 ? 1 : 0;
      pen.fillStyle = style.color;
      for (let row = 0; row < rows.length; row += 1) {
        for (let label = 0; label < labels.length; label += 1) {
          const value = shade(row, label);
          if (!(value > 0)) continue;
          pen.globalAlpha = Math.min(1, value);
          pen.fillRect(label * wide, row * HIGH, wide - gap, HIGH - 1);
        }
      }
    }

    // As many names as there is room for, at round distances; every label is read out where the pointer or the keyboard is.
    #title(wide, labels) {
      const names = labels.map(short);
      const stride = STRIDES.find((one) => one * wide >= APART) ?? STRIDES.at(-1);
      const longest = Math.max(...names.map((name) => this.#pen().measureText(name).width));
      const pen = prepared(this.#head, wide * labels.length + Math.ceil(Math.cos(SLANT) * longest), Math.ceil(Math.sin(SLANT) * longest) + 14);
      const foot = Number.parseFloat(this.#head.style.height);
      pen.font = this.#pen().font;
      pen.fillStyle = getComputedStyle(this.#head).color;
      names.forEach((name, at) => {
        if (at % stride) return;
        pen.save();
        pen.translate((at + 0.5) * wide + 2, foot - 6);
        pen.fillRect(-2.5, 2, 1, 4);
        pen.rotate(-SLANT);
        pen.fillText(name, 0, 0);
        pen.restore();
      });
    }

    // --- reading out ---

    #under({ offsetX, offsetY }) {
      const within = (value, size, many) => Math.max(0, Math.min(many - 1, Math.floor(value / size)));
      return { row: within(offsetY, HIGH, this.#of.rows.length), label: within(offsetX, this.#wide, this.#of.labels.length) };
    }

    #point({ row, label }) {
      this.#mark(this.#at?.row, false);
      this.#at = { row, label };
      this.#mark(row, true);
      say(this.#says, this.#of.tell(row, label));
      this.#cursor.hidden = false;
      Object.assign(this.#cursor.style, { insetInlineStart: `${label * this.#wide}px`, insetBlockStart: `${row * HIGH}px`, inlineSize: `${this.#wide}px`, blockSize: `${HIGH}px` });
    }

    #mark(row, isAt) { this.#names.children[row]?.classList.toggle("at", isAt); }

    // The keyboard's place is kept.
    #rest() {
      if (document.activeElement === this.#cells && this.#at) return;
      this.#mark(this.#at?.row, false);
      this.#cursor.hidden = true;
      this.#says.textContent = this.#of ? "Point at a cell, or go to it with the arrow keys." : "";
    }

    #key(event) {
      const { row, label } = this.#at;
      const [down, along] = [this.#of.rows.length - 1, this.#of.labels.length - 1];
      if (event.key === "Enter") this.#open(row);
      else {
        const to = {
          ArrowLeft: [row, label - 1], ArrowRight: [row, label + 1], ArrowUp: [row - 1, label], ArrowDown: [row + 1, label],
          Home: [row, 0], End: [row, along], PageUp: [row - PAGE, label], PageDown: [row + PAGE, label],
        }[event.key];
        if (!to) return;
        this.#point({ row: Math.max(0, Math.min(down, to[0])), label: Math.max(0, Math.min(along, to[1])) });
        this.#cursor.scrollIntoView({ block: "nearest", inline: "nearest" });
      }
      event.preventDefault();
    }
  }

  // Gives a canvas its size, in px and in the screen's own, empty.
  function prepared(canvas, width, height) {
    const ratio = Math.min(devicePixelRatio || 1, 2);
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    return pen;
  }

  atlas.heatmap = { Heatmap };
})();
