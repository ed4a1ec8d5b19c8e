"use strict";
// Elements, numbers and tokens as the reader meets them. Whatever comes from a model or a corpus goes in as text.
(() => {
  const SIGNS = { " ": "space", "\u00a0": "nbsp", "\n": "⏎", "\t": "⇥", "\u007f": "␡" };
  const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
  const JOINERS = /[\u200c\u200d\ufe00-\ufe0f]/;   // they shape the letters or pictographs that they stand beside

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
  // A number with what is counted: "1 firing", "2 firings".
  const counted = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
  const number = (value) => minus(Math.abs(value) >= 1000 ? grouped.format(Math.round(Number(value.toPrecision(3)))) : three.format(value));
  // With trailing zeros, for numbers that stand under each other.
  const aligned = (value) => (Math.abs(value) >= 1000 ? number(value) : minus(value.toPrecision(3)));
  const probability = (p) => (p < 0.0001 ? "<\u202f0.0001" : number(p));
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

  // A share with its interval, as "12 % (9.8–15)".
  const percents = (share, low, high) => `${percent(share)} (${percent(low, { sign: false })}–${percent(high, { sign: false })})`;

  const code = (character) => `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  // A space's name, the picture of a control character, the number of anything else.
  const sign = (character) => SIGNS[character] ?? (character < " " ? String.fromCodePoint(0x2400 + character.codePointAt(0)) : code(character));

  // Stands for one or more of the same character.
  function unseen(run) {
    const [character] = run;
    const times = run.length / character.length;
    const shown = sign(character);
    return make("span", { class: shown.length === 1 ? "unseen sign" : "unseen", title: code(character) }, times === 1 ? shown : times < 4 && shown.length === 1 ? shown.repeat(times) : `${shown}×${times}`);
  }

  // Nodes for a token's text: what cannot be seen, and what would turn the text around, is named instead.
  function token(text) {
    const blank = text.trim() === "";
    const nodes = [];
    let [seen, same] = ["", ""];
    const flush = () => {
      if (seen) nodes.push(seen);
      if (same) nodes.push(unseen(same));
      [seen, same] = ["", ""];
    };
    for (const character of text) {
      if (blank || (UNSEEN.test(character) && !(JOINERS.test(character) && seen.trim()))) {
        if (!same.startsWith(character)) flush();
        same += character;
      } else {
        if (same) flush();
        seen += character;
      }
    }
    flush();
    return nodes;
  }

  // The same as a text, for where no element can stand.
  const spelled = (text) => token(text).map((part) => (typeof part === "string" ? part : part.textContent)).join("");

  // Says in place what went wrong; nothing takes an earlier word back.
  function trouble(root, message) {
    const place = root.querySelector("[data-trouble]");
    place.textContent = message ?? "";
    place.hidden = !message;
  }

  atlas.words = { make, draw, count, counted, number, aligned, probability, score, interval, percent, percents, token, spelled, trouble };
})();
