"use strict";
// Elements, numbers and tokens as the reader meets them. Whatever comes from a model or a corpus goes in as text.
(() => {
  const NAMES = {
    " ": "space", "\n": "newline", "\r": "return", "\t": "tab", "\u00a0": "nbsp", "\u00ad": "shy", "\u200b": "zwsp", "\u200e": "lrm",
    "\u200f": "rlm", "\u202a": "lre", "\u202b": "rle", "\u202c": "pdf", "\u202d": "lro", "\u202e": "rlo", "\u2028": "line sep",
    "\u2029": "par sep", "\ufeff": "bom",
  };
  const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;
  const JOINERS = new Set(["\u200c", "\u200d"]);   // they shape the letters or pictographs that they stand between

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    return fill(element, attributes, children);
  }

  function draw(tag, attributes = {}, ...children) {
    return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  }

  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  const grouped = new Intl.NumberFormat("en");
  const three = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
  const minus = (text) => text.replace("-", "−");
  const count = (number) => grouped.format(number);
  const number = (value) => minus(Math.abs(value) >= 1000 ? grouped.format(Math.round(Number(value.toPrecision(3)))) : three.format(value));
  // With trailing zeros, for numbers that stand under each other.
  const aligned = (value) => (Math.abs(value) >= 1000 ? number(value) : minus(value.toPrecision(3)));
  const score = (value) => minus(value.toFixed(2).replace(/^-0\.00$/, "0.00"));
  const interval = (value, low, high) => `${score(value)} (${score(low)}${low < 0 ? " to " : "–"}${score(high)})`;

  // Two significant figures. Where room is short: one below 1 %, and no sign where a heading has it.
  function percent(share, { brief = false, sign = true } = {}) {
    const end = sign ? "\u202f%" : "";
    const shown = Math.abs(100 * share);
    if (shown === 0) return `0${end}`;
    if (shown < 0.001) return share > 0 ? `<\u202f0.001${end}` : `>\u202f−0.001${end}`;
    const digits = Math.max(0, (brief && shown < 1 ? 0 : 1) - Math.floor(Math.log10(shown)));
    return `${minus((100 * share).toFixed(digits))}${end}`;
  }

  const code = (character) => `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  const unseen = (character) => make("span", { class: "unseen", title: code(character) }, NAMES[character] ?? code(character));

  // Nodes for a token's text: what cannot be seen, and what would turn the text around, is named instead.
  function token(text) {
    if (text === "") return [];
    if (text.trim() === "") return [...text].map(unseen);
    const nodes = [];
    let run = "";
    for (const character of text) {
      if (UNSEEN.test(character) && !(JOINERS.has(character) && run.trim())) {
        nodes.push(run, unseen(character));
        run = "";
      } else run += character;
    }
    return [...nodes, run].filter((node) => node !== "");
  }

  // Says in place what went wrong; nothing takes an earlier word back.
  function trouble(root, message) {
    const place = root.querySelector("[data-trouble]");
    place.textContent = message ?? "";
    place.hidden = !message;
  }

  atlas.words = { make, draw, count, number, aligned, score, interval, percent, token, trouble };
})();
