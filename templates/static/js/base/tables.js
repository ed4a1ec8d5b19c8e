"use strict";
// Tables, bars in them, and what is folded away.
(() => {
  const { make } = atlas.words;

  // names: a column without one is of bars, which say what the number beside them says.
  const table = (names, rows) => make("table", {},
    make("thead", {}, make("tr", {}, ...names.map((name) => (name ? make("th", { scope: "col" }, name) : make("td"))))),
    make("tbody", {}, ...rows));

  function bar(share) {
    const filled = make("span", { class: "filled" });
    filled.style.inlineSize = `${Math.min(1, share) * 100}%`;
    return filled;
  }

  const folded = (title, nodes) => (nodes.length ? [make("details", {}, make("summary", {}, title), ...nodes)] : []);

  atlas.tables = { table, bar, folded };
})();
