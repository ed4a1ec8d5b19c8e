"use strict";
// What can be read from an expert's codes: its scores beside their references, and how it goes with the place in a line.
(() => {
  const { make, count, number, score, interval, percent } = atlas.words;
  const { rowsOf, hypothesis } = atlas.records;
  const { folded } = atlas.tables;

  // What is supported or read jointly stands first, then what else was tested, folded; classes stand behind, by a measure of
  // their own.
  function scores(record, width) {
    const rows = record.scores().sort((one, other) => other.order_supported - one.order_supported || Boolean(other.group) - Boolean(one.group) || other.all_rows - one.all_rows);
    const rest = rows.filter((row) => !row.testable && hypothesis(row).of_label);
    const byRow = rows.filter((row) => !hypothesis(row).of_label);
    const tested = rows.filter((row) => row.testable && !byRow.includes(row));
    const [orders, classes] = [tested.filter((row) => !isClasses(row)), tested.filter(isClasses)];
    const named = orders.filter((row) => row.order_supported || row.group);
    const first = named.length || !orders.length ? named : orders.slice(0, 1);
    const others = orders.slice(first.length);
    const home = classes.filter((row) => row.task.task === record.field("title_task"));
    const away = classes.filter((row) => !home.includes(row));
    return [
      ...first.map((row) => reading(row, width)),
      ...folded(`${others.length} more tested, ${called(others)} not supported`, others.map((row) => reading(row, width))),
      ...folded(`${byRow.length} more whose target goes row by row`, byRow.map((row) => reading(row, width))),
      ...home.map((row) => reading(row, width)),
      ...folded(`${away.length} more by classes`, away.map((row) => reading(row, width))),
      ...(rest.length ? [make("p", { class: "note" }, untested(rest))] : []),
    ];
  }

  function reading(row, width) {
    const { title, measure, references } = hypothesis(row);
    const result = { of: `${row.task.title}, ${title}`, measure, value: row.all_rows, low: row.all_rows_low, high: row.all_rows_high };
    const said = verdict(row);
    return make("div", { class: "score" },
      make("p", { class: "score-head" }, make("span", {}, make("b", {}, row.task.title), ` · ${title}`),
        make("span", { class: row.order_supported ? "supported" : "unsupported" }, said),
        make("span", { class: "figure" }, `${measure} ${interval(row.all_rows, row.all_rows_low, row.all_rows_high)}`)),
      atlas.strip(result, references, { width, long: true }),
      make("p", { class: "note" }, facts(row).join(" · ")),
      ...(row.mention_rows === null ? [] : [make("p", { class: "note" }, mentioned(row))]),
      ...(row.group ? [together(row)] : []));
  }

  function together({ group, ...row }) {
    const others = group.experts.filter((expert) => expert !== atlas.route.state.expert);
    const links = others.flatMap((expert, at) => [at === 0 ? "" : at === others.length - 1 ? " and " : ", ", make("a", { href: atlas.route.link({ expert }) }, String(expert))]);
    const { measure } = hypothesis(row);
    return make("p", { class: "note together" }, `Read together with expert${others.length > 1 ? "s" : ""} `, ...links, `: ${measure} ${interval(group.all_rows, group.all_rows_low, group.all_rows_high)}; best alone ${score(group.alone)}.`);
  }

  // How it goes with the place in a line, of tasks about that.
  function lines(record) {
    return rowsOf(record.data.newline).map((row) => make("p", { class: "note" }, make("b", {}, record.task(row.task).title),
      `: periodic gain ${measured(row.periodic_gain)} in-sample, ${measured(row.held_out_gain)} held out; the place is read from its code with R² ${score(row.decode_r2)}, held out ${score(row.held_out_decode_r2)}. It fires on ${percent(row.rate)} of these tokens.`));
  }

  const isClasses = (row) => hypothesis(row).shape === "classes";
  // Places in a space of several numbers have an arrangement, no order.
  const laid = (shape) => (shape === "map" ? "arrangement" : "order");
  const called = (rows) => [...new Set(rows.map((row) => laid(hypothesis(row).shape)))].sort().reverse().join(" or ");
  const named = (task) => (task.has_text ? "sentences" : "rows");

  // What the test asks for, and by task what did not have it.
  function untested(rows) {
    const tasks = [...new Set(rows.map((row) => row.task))].map((task) => {
      const here = rows.filter((row) => row.task === task);
      return `${task.title} (${here.map((row) => hypothesis(row).title).join(", ")}): fires on ${count(here[0].active_rows)} ${named(task)}`;
    });
    return `Not tested, because it fires on too few rows, or on fewer than three labels in five rows or more. ${tasks.join("; ")}.`;
  }

  // How a score stands against shuffled labels. Classes have no order: they are only read better or no better than shuffled ones.
  function verdict(row) {
    const { shape, of_label } = hypothesis(row);
    if (!of_label) return "no order of labels to test";
    if (shape === "classes") return row.p_order_adjusted <= 0.05 ? "better than shuffled classes" : "no better than shuffled classes";
    return `${laid(shape)} ${row.order_supported ? "" : "not "}supported${isHalved(row) ? ": no more than two halves" : ""}`;
  }

  // Whether labels shuffled within the two halves that it tells apart score as well.
  const isHalved = (row) => row.p_within_halves > 0.05;

  function facts(row) {
    const { measure, shape, of_label, testable, references } = hypothesis(row);
    return [
      `n ${count(row.task.report_rows)} ${named(row.task)}, fires in ${count(row.n_where_it_fires)}`,
      `covers ${row.covered} of ${row.task.labels.name.length} labels`,
      ...(row.left_out_label === null ? [] : [`left-out labels ${shape === "classes" ? "" : `${measure} `}${score(row.left_out_label)}${worst(row)}`]),
      ...(of_label ? [`adjusted p ${number(row.p_order_adjusted)} over ${count(testable)} experts`] : ["its target goes row by row, not by label"]),
      ...(row.p_within_halves === null ? [] : [`labels shuffled within two halves p ${number(row.p_within_halves)}`]),
      ...(shape === "classes" && references.chance !== undefined ? ["chance is simulated: clusters at random places"] : []),
    ];
  }

  // Of several targets some direction may be read worse than all of them together.
  const worst = ({ left_out_label: all, left_out_direction: least }) => (least === null || score(least) === score(all) ? "" : ` (worst direction ${score(least)})`);

  function mentioned(row) {
    const { measure } = hypothesis(row);
    const reached = `${measure} ${interval(row.mention_rows, row.mention_low, row.mention_high)}`;
    return `On running text: ${reached} on ${count(row.mention_words)} words spelled as a label, in ${count(row.mention_documents)} held-out documents (fires on ${count(row.mention_active)}), by a fit to ${count(row.mention_others)} others.`;
  }

  const measured = (value) => number(Number(value.toFixed(4)));

  atlas.readings = { show: (record, width) => [...scores(record, width), ...lines(record)] };
})();
