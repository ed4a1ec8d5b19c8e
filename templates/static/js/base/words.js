"use strict";
// Elements, numbers and tokens as the reader meets them. Whatever comes from a model or a corpus goes in as text.
(() => {
  const SIGNS = { " ": "space", "\u00a0": "nbsp", "\n": "⏎", "\t": "⇥" };
  // What cannot be seen, turns the text around, or is no character; `spelled` in Python names the same.
  const UNSEEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\u2800]/u;
  const JOINER = /[\u200c\u200d\ufe00-\ufe0f]/;   // they shape the letter or pictograph that they stand behind
  const SHAPED = /[#*0-9©®\u0531-\u{10ffff}]/u;     // Latin, Greek and Cyrillic letters are not
  const MARK = /\p{M}/u;
  const MARKS = 4;         // accents and vowel signs on one letter; more would be painted over the lines around it
  const ODD = RegExp(`${UNSEEN.source}|\\p{M}{${MARKS + 1}}`, "u");
  const LONGEST = 2_000;   // code units of a text that is shown whole
  const TOKEN = 200;       // of a token or a name
  const POINTS = 64;       // of a text that are listed
  const FROM_RIGHT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
  const SAID = new Set(["alt", "aria-label", "aria-valuetext", "label", "placeholder", "title"]);   // attributes that a reader meets

  function make(tag, attributes = {}, ...children) {
    return fill(document.createElement(tag), attributes, children);
  }

  function draw(tag, attributes = {}, ...children) {
    return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  }

  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, SAID.has(name) ? spelled(value) : value);
    element.append(...children.flatMap((child) => (typeof child === "string" ? written(element, child) : [child])));
    return element;
  }

  // Puts children in place of what an element holds.
  function say(element, ...children) {
    element.replaceChildren();
    return fill(element, {}, children);
  }

  // A text as an element of its kind holds it: pictures and options take nothing but text.
  const written = (element, text) => (element instanceof HTMLElement && !(element instanceof HTMLOptionElement) ? nodes(text) : [spelled(text)]);

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
  // A name or a sign where there is one, else the number: few fonts have pictures of control characters.
  const sign = (character) => SIGNS[character] ?? code(character);

  // Stands for one or more of the same character.
  function unseen(run) {
    const [character] = run;
    const times = run.length / character.length;
    const shown = sign(character);
    return make("span", { class: shown.length === 1 ? "unseen sign" : "unseen", title: code(character) }, times === 1 ? shown : times < 4 && shown.length === 1 ? shown.repeat(times) : `${shown}×${times}`);
  }

  // Stands for marks that one letter has too many of, and for the rest of a text that is too long.
  const piled = (run) => make("span", { class: "unseen", title: Array.from(new Set(run)).slice(0, 8).map(code).join(" ") }, `+${counted(Array.from(run).length, "mark")}`);
  const rest = (length) => make("span", { class: "unseen" }, `… +${counted(length, "character")}`);

  // Nodes for a text: what cannot be seen, what would turn the text around and what would be painted over its neighbours is named
  // instead, and what is too long is cut. Of a token that is blank every character is named.
  function nodes(text, { longest = LONGEST, isToken = false } = {}) {
    const kept = text.length > longest ? text.slice(0, longest).replace(/[\ud800-\udbff]$/, "") : text;
    const isBlank = isToken && kept.trim() === "";
    if (kept === text && !isBlank && !ODD.test(text)) return text === "" ? [] : [text];
    const found = [];
    let [seen, many, same, marks, last] = ["", "", "", 0, ""];
    const flush = () => {
      if (seen) found.push(seen);
      if (many) found.push(piled(many));
      if (same) found.push(unseen(same));
      [seen, many, same] = ["", "", ""];
    };
    for (const character of kept) {
      const isShaping = JOINER.test(character) && SHAPED.test(last) && (!JOINER.test(last) || (character === "\u200d" && last !== "\u200d"));
      const isUnseen = isBlank || (UNSEEN.test(character) && !isShaping);
      if (MARK.test(character)) marks += 1; else if (!isShaping) marks = 0;
      if (isUnseen) {
        if (!same.startsWith(character)) flush();
        same += character;
      } else if (marks > MARKS) {
        if (same) flush();
        many += character;
      } else {
        if (many || same) flush();
        seen += character;
      }
      last = isUnseen ? "" : character;
    }
    flush();
    if (kept !== text) found.push(rest(Array.from(text).length - Array.from(kept).length));
    return found;
  }

  // A token or a name.
  const token = (text) => nodes(text, { longest: TOKEN, isToken: true });

  // A title or a name that quotes tokens. One that is read from the right keeps to its place: without that, what follows would go to its left.
  const quoting = (text) => token(text).flatMap((part) => (typeof part === "string" && FROM_RIGHT.test(part)
    ? part.split(/“([^”]*)”/).flatMap((piece, at) => (at % 2 ? ["“", make("bdi", {}, piece), "”"] : [piece]))
    : [part]));

  // A text of which nothing is left out.
  const whole = (text) => nodes(text, { longest: Infinity });

  // A text for where no element can stand.
  const spelled = (text) => nodes(String(text), { isToken: true }).map((part) => (typeof part === "string" ? part : part.textContent)).join("");

  // The code points of a text, by which letters that look alike are told apart; "" of plain ASCII.
  function points(text) {
    if (/^[\x20-\x7e]*$/.test(text)) return "";
    const all = Array.from(text, code);
    return all.slice(0, POINTS).join(" ") + (all.length > POINTS ? ` … +${count(all.length - POINTS)}` : "");
  }

  // Says in place what went wrong; nothing takes an earlier word back.
  function trouble(root, message) {
    const place = root.querySelector("[data-trouble]");
    say(place, message ?? "");
    place.hidden = !message;
  }

  atlas.words = { make, draw, count, counted, number, aligned, probability, score, interval, percent, percents, points, quoting, say, token, spelled, trouble, whole };
})();
