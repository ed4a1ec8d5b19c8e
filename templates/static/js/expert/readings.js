"use strict";
// What can be read from an expert's codes: its scores beside their references, and how it goes with the place in a line.
(() => {
  const { make, count, counted, number, score, interval, percent } = atlas.words;
  const { rowsOf, hypothesis } = atlas.records;
  const { folded } = atlas.tables;
  const { term } = atlas.definitions;
  const LEAST_COVERED = 6;   // labels, of an order that is supported
  const MOST_P = 0.05;

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
      ...(tested.length ? [marks()] : []),
    ];
  }

  function reading(row, width) {
    const { title, measure, references } = hypothesis(row);
    const result = { of: `${row.task.title}, ${title}`, measure, value: row.all_rows, low: row.all_rows_low, high: row.all_rows_high };
    return make("div", { class: "score" },
      make("p", { class: "score-head" }, make("span", {}, make("b", {}, row.task.title), ` · ${title}`),
        make("span", { class: row.order_supported ? "supported" : "unsupported" }, verdict(row)),
        make("span", { class: "figure" }, measured(measure), ` ${interval(row.all_rows, row.all_rows_low, row.all_rows_high)}`)),
      atlas.strip(result, references, { width, long: true }),
      make("p", { class: "note" }, ...facts(row).flatMap((fact, at) => (at === 0 ? fact : [" · ", ...fact]))),
      make("p", { class: "claim" }, claim(row)),
      ...(row.mention_rows === null ? [] : [make("p", { class: "note" }, ...mentioned(row))]),
      ...(row.group ? [together(row)] : []));
  }

  const measured = (measure) => (measure === "R²" ? term("all-row r²", measure) : term("balanced accuracy", measure));

  // What the ticks on a strip are.
  function marks() {
    const names = ["chance", "best random projection", "top components", "word embedding"];
    return make("p", { class: "note" }, "Ticks on the axes, from 0 to 1, are what is reached without any expert: ", ...names.flatMap((name, at) => [at ? ", " : "", term(name, name)]),
      ". A hollow dot does no better than the best random projection.");
  }

  function together({ group, ...row }) {
    const own = atlas.route.state.expert;
    const others = group.experts.filter((expert) => expert !== own);
    const links = others.flatMap((expert, at) => [at === 0 ? "" : at === others.length - 1 ? " and " : ", ", make("a", atlas.route.way({ expert }), String(expert))]);
    const sides = others.flatMap((expert, at) => [at === 0 ? " Side by side with " : ", ", make("a", { ...atlas.route.way({ beside: [own, expert] }), "aria-label": `Experts ${own} and ${expert} side by side` }, String(expert))]);
    const { measure } = hypothesis(row);
    return make("p", { class: "note together" }, term("group", "Read together"), ` with expert${others.length > 1 ? "s" : ""} `, ...links,
      `: ${measure} ${interval(group.all_rows, group.all_rows_low, group.all_rows_high)}; best alone ${score(group.alone)}.`, ...sides, ".");
  }

  // How it goes with the place in a line, of tasks about that.
  function lines(record) {
    return rowsOf(record.data.newline).map((row) => make("p", { class: "note" }, make("b", {}, record.task(row.task).title), ": ", term("periodic gain", "periodic gain"),
      ` ${small(row.periodic_gain)} in-sample, ${small(row.held_out_gain)} held out; the place is read from its code with R² ${score(row.decode_r2)}, held out ${score(row.held_out_decode_r2)}. It fires on ${percent(row.rate)} of these tokens.`));
  }

  const isClasses = (row) => hypothesis(row).shape === "classes";
  // Places in a space of several numbers have an arrangement, no order.
  const laid = (shape) => (shape === "map" ? "arrangement" : "order");
  const called = (rows) => [...new Set(rows.map((row) => laid(hypothesis(row).shape)))].sort().reverse().join(" or ");
  const named = (task) => (task.has_text ? "sentences" : "rows");
  const told = (task, rows) => counted(rows, task.has_text ? "sentence" : "row");

  // What the test asks for, and by task what did not have it.
  function untested(rows) {
    const tasks = [...new Set(rows.map((row) => row.task))].map((task) => {
      const here = rows.filter((row) => row.task === task);
      return `${task.title} (${here.map((row) => hypothesis(row).title).join(", ")}): fires on ${told(task, here[0].active_rows)}`;
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

  // Each a list of nodes: the name of a number, and the number.
  function facts(row) {
    const { measure, shape, of_label, testable, references } = hypothesis(row);
    return [
      [term("report set", "n"), ` ${told(row.task, row.task.report_rows)}, fires in ${count(row.n_where_it_fires)}`],
      [term("coverage", "covers"), ` ${row.covered} of ${row.task.labels.name.length} labels`],
      ...(row.left_out_label === null ? [] : [[term(shape === "classes" ? "left-out-label balanced accuracy" : "left-out-label r²", "left-out labels"), ` ${shape === "classes" ? "" : `${measure} `}${score(row.left_out_label)}${worst(row)}`]]),
      ...(of_label ? [[term("adjusted p", "adjusted p"), ` ${number(row.p_order_adjusted)} over ${counted(testable, "expert")}`]] : [["its target goes row by row, not by label"]]),
      ...(row.p_within_halves === null ? [] : [[term("two halves", "labels shuffled within two halves"), ` p ${number(row.p_within_halves)}`]]),
      ...(shape === "classes" && references.chance !== undefined ? [["chance is simulated: clusters at random places"]] : []),
    ];
  }

  // What may be said of a score, and what may not.
  function claim(row) {
    const { shape, of_label, references } = hypothesis(row);
    const luck = row.all_rows <= references.random_projection ? " The score alone is no better than that of the best of as many random projections." : "";
    if (!of_label) return `May be said: how well the number is predicted on new rows. Of an order of labels, nothing.${luck}`;
    if (shape === "classes") {
      return row.p_order_adjusted <= MOST_P ? `May be said: these classes can be told apart from its code on new ${named(row.task)}. An order among them is not tested.${luck}`
        : `May not be said: that its code tells these classes apart, since shuffled classes do as well.${luck}`;
    }
    if (row.order_supported) return `May be said: the ${laid(shape)} of the labels can be read from its code. May not: that the model uses it.${luck}`;
    return `May not be said: that the ${laid(shape)} of the labels can be read from its code, for ${listed(failing(row))}.${luck}`;
  }

  // The conditions of a supported order that do not hold, in words.
  function failing(row) {
    const { measure } = hypothesis(row);
    const failed = [
      [row.covered < LEAST_COVERED, `it covers fewer than ${LEAST_COVERED} labels (${row.covered})`],
      [row.p_order_adjusted > MOST_P, `shuffled labels do as well (adjusted p ${number(row.p_order_adjusted)})`],
      [!(row.left_out_label > 0), `labels left out of the fit are not predicted${row.left_out_label === null ? "" : ` (${measure} ${score(row.left_out_label)})`}`],
      [row.left_out_label > 0 && row.left_out_direction !== null && !(row.left_out_direction > 0), `in one direction labels left out of the fit are not predicted (${measure} ${score(row.left_out_direction ?? 0)})`],
      [!(row.all_rows_low > 0), "the interval of its score on new sentences reaches 0"],
      [isHalved(row), `it tells two halves apart and no more (p ${number(row.p_within_halves ?? 1)} within them)`],
    ];
    const found = failed.filter(([has]) => has).map(([, words]) => words);
    return found.length ? found : ["among all hypotheses this one does not stand out (false discovery rate above 0.05)"];
  }

  const listed = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);

  // Of several targets some direction may be read worse than all of them together.
  const worst = ({ left_out_label: all, left_out_direction: least }) => (least === null || score(least) === score(all) ? "" : ` (worst direction ${score(least)})`);

  function mentioned(row) {
    const { measure } = hypothesis(row);
    const reached = `: ${measure} ${interval(row.mention_rows, row.mention_low, row.mention_high)}`;
    return [
      term("natural mentions", "On running text"),
      `${reached} on ${counted(row.mention_words, "word")} spelled as a label, in ${counted(row.mention_documents, "held-out document")} (fires on ${count(row.mention_active)}), by a fit to ${counted(row.mention_others, "other")}.`,
    ];
  }

  const small = (value) => number(Number(value.toFixed(4)));

  atlas.readings = { show: (record, width) => [...scores(record, width), ...lines(record)] };
})();
