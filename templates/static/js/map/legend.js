"use strict";
// What the colours and marks of the map's dots stand for, and how many dots have each.
(() => {
  const { make, draw, count } = atlas.words;

  function coloured(element, { light, dark }) {
    if (light) {
      element.style.setProperty("--light", light);
      element.style.setProperty("--dark", dark);
    }
    return element;
  }

  const swatch = ({ mark, ...colours }) => coloured(draw("svg", { class: "mark", viewBox: "-1.6 -1.6 3.2 3.2", "aria-hidden": "true" }, draw("path", { d: atlas.hues.MARKS[mark] })), colours);
  const entry = (kind, text, amount) => make("li", {}, swatch(kind), make("span", {}, text), make("span", { class: "amount" }, count(amount)));

  function axis(kinds, ticks) {
    const named = ticks.map(({ at, text }) => {
      const tick = make("span", {}, text);
      tick.style.setProperty("--at", at);
      return tick;
    });
    return make("div", { class: "ramp" }, make("div", { class: "shades", "aria-hidden": "true" }, ...kinds.map((kind) => coloured(make("span"), kind))), make("div", { class: "ticks" }, ...named));
  }

  // amounts: of the filtered out, then of each kind.
  function show(element, { kinds, ticks, note }, amounts) {
    const told = kinds.map((kind, at) => ({ kind, amount: amounts[at + 1] })).filter(({ kind: { text }, amount }) => text && amount);
    // Those that claim nothing stand first among the kinds, and last in the legend.
    const isGrey = ({ kind: { light } }) => light === kinds[0].light;
    const listed = [...told.filter((one) => !isGrey(one)), ...told.filter(isGrey).reverse()].map(({ kind: { text, ...kind }, amount }) => entry(kind, text, amount));
    if (amounts[0]) listed.push(entry({ mark: "speck" }, "filtered out", amounts[0]));
    element.replaceChildren(
      ...(ticks ? [axis(kinds.filter(({ text }) => !text), ticks)] : []), make("ul", {}, ...listed), ...(note ? [make("p", { class: "note" }, note)] : []),
    );
  }

  atlas.legend = { show };
})();
