"use strict";
// The best experts of each hypothesis of a task, beside what is reached without any expert; and those that matter most on its rows.
(() => {
  const { make, count, interval, percent, quoting } = atlas.words;
  const { term } = atlas.definitions;
  const { array } = atlas.payloads;
  const { route } = atlas;
  const AT_FIRST = 5;
  const MOST = 10;
  const STRIP = 120;

  // of: the task's payload `scores/n`.of[]; important: that of `importance/n`, or null. Nodes, one for each hypothesis.
  function leaders(manifest, task, of, important) {
    const read = task.hypotheses.map((hypothesis, at) => hypothesized(manifest, task, hypothesis, of[at]));
    return [...read, ...(important ? [mattering(manifest, task, important)] : [])];
  }

  function hypothesized(manifest, task, hypothesis, stored) {
    const title = make("h4", {}, hypothesis.title);
    const without = atlas.strip.without(hypothesis.references).join(", ");
    const beside = without ? ` Without any expert: ${without}.` : "";
    if (!stored) return make("section", {}, title, make("p", { class: "note" }, `Cannot be read from any expert.${beside}`));
    const columns = Object.fromEntries(["rows", "value", "low", "high", "supported", "covered"].map((name) => [name, array(stored[name])]));
    const { rows, value, low, high, supported, covered } = columns;
    const order = Array.from(rows.keys()).sort((one, other) => supported[other] - supported[one] || value[other] - value[one]);
    const many = supported.reduce((sum, one) => sum + one, 0);
    const tested = hypothesis.of_label && hypothesis.shape !== "classes";
    const what = hypothesis.shape === "map" ? "arrangement" : "order";
    const says = [`It can be read from ${count(rows.length)} of ${count(manifest.experts.expert.length)} experts${tested ? `; its ${what} is supported in ${many ? `${count(many)}, which stand first` : "none"}` : ""}.`, beside];
    const lines = order.slice(0, MOST).map((at) => {
      const result = { of: `${task.title}, ${hypothesis.title}`, measure: hypothesis.measure, value: value[at], low: low[at], high: high[at] };
      return make("tr", {}, named(manifest, rows[at], tested ? `${what} ${supported[at] ? "" : "not "}supported` : null),
        make("td", { class: "stripped" }, atlas.strip(result, hypothesis.references, { width: STRIP })),
        make("td", {}, interval(value[at], low[at], high[at])),
        make("td", {}, `${covered[at]} of ${task.labels.name.length}`));
    });
    const address = route.link({ ...route.DEFAULTS, view: route.state.view, hypothesis: `${task.name}:${hypothesis.hypothesis}` });
    return make("section", {}, title, make("p", { class: "note" }, ...says),
      ...listed(["Expert", "", measure(hypothesis), term("coverage", "Covers")], lines, make("a", { href: address }, `${rows.length === 1 ? "It" : `All ${count(rows.length)}`} in the list`)));
  }

  function mattering(manifest, task, { rows, importance, tokens }) {
    const most = Math.max(...importance.subarray(0, MOST).map(Math.abs));
    const lines = Array.from(rows.subarray(0, MOST), (row, at) => {
      return make("tr", {}, named(manifest, row), make("td", { class: "bar" }, atlas.tables.bar(importance[at] / most)), make("td", {}, percent(importance[at])));
    });
    return make("section", {}, make("h4", {}, "Most important on its rows"),
      make("p", { class: "note" }, `How much more of the variance of its ${count(tokens)} rows goes unexplained without the expert. ${count(rows.length)} experts fire on them.`),
      ...listed(["Expert", "", term("importance on a task", "Importance on it")], lines));
  }

  // The first rows; a button has the others, and `on` leads on.
  function listed(names, rows, ...on) {
    const rest = rows.slice(AT_FIRST);
    for (const row of rest) row.hidden = true;
    const more = make("button", { type: "button" }, `${rest.length} more`);
    more.addEventListener("click", () => {
      for (const row of rest) row.hidden = false;
      rest[0].querySelector("a").focus();
      more.remove();
    });
    return [atlas.tables.table(names, rows), make("p", { class: "more" }, ...(rest.length ? [more, " "] : []), ...on)];
  }

  function named({ experts }, row, said = null) {
    const link = make("a", route.way({ expert: experts.expert[row], at: null }), make("b", {}, String(experts.expert[row])), " ", make("bdi", {}, ...quoting(experts.title[row])));
    return make("th", { scope: "row" }, link, ...(said ? [make("span", { class: "about-it" }, said)] : []));
  }

  const measure = ({ shape }) => (shape === "classes" ? term("balanced accuracy", "Balanced accuracy (95 % interval)") : term("all-row r²", "R² (95 % interval)"));

  atlas.leaders = { leaders, named };
})();
