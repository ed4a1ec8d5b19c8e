"use strict";
// Tables, bars in them, and what is folded away.
(() => {
  const { make } = atlas.words;

  // names: texts or nodes; a column without one is of bars, which say what the number beside them says.
  const table = (names, rows) => make("table", {},
    make("thead", {}, make("tr", {}, ...names.map((name) => (name ? make("th", { scope: "col" }, name) : make("td", { class: "bar" }))))),
    make("tbody", {}, ...rows));

  // Less than nothing is a bar that is not filled.
  function bar(share) {
    const filled = make("span", { class: share < 0 ? "filled negative" : "filled" });
    filled.style.inlineSize = `${Math.min(1, Math.abs(share)) * 100}%`;
    return filled;
  }

  const isBar = (cell) => cell instanceof Element && cell.matches(".filled");
  const row = (name, ...cells) => make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((cell) => make("td", isBar(cell) ? { class: "bar" } : {}, cell)));

  const folded = (title, nodes) => (nodes.length ? [make("details", {}, make("summary", {}, title), ...nodes)] : []);

  atlas.tables = { table, row, bar, folded };
})();
