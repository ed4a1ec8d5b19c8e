"use strict";
// How an expert fires on the labels of each task, and whether it prefers some.
(() => {
  const { make, count, number, score, percent } = atlas.words;
  const { rowsOf } = atlas.records;
  const { bar, folded, table } = atlas.tables;
  const { term } = atlas.definitions;
  const FEW = 2;     // tasks that are named though the expert hardly fires on them
  const SHORT = 5;   // labels that need no other order
  const ORDERS = { label: "their order", fires: "fires", lift: "lift", preference: "preference" };

  function show(record) {
    const { labels, task_stats } = record.data;
    const [open, closed, all, tested] = [[], [], rowsOf(labels), rowsOf(task_stats)];
    const seen = atlas.stage.asked(record.manifest, atlas.route.state);
    for (const number_ of new Set(labels.task)) {
      const task = record.task(number_);
      const rows = all.filter((row) => row.task === number_);
      const covered = rows.filter(({ fires }) => fires >= 0.5).length;
      const stats = tested.find((row) => row.task === number_);
      const body = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${task.title}, label by label` },
        table(["Label", "", term("fires", "Fires"), term("fires", "Rows"), term("lift", "Lift"), "", term("preference", "Preference")], []));
      const list = body.querySelector("tbody");
      const sorted = (by) => list.replaceChildren(...order(rows, by).map((row) => line(task, row, stats?.preference_band)));
      const details = make("details", {}, make("summary", {}, `${task.title}: fires on at least half the rows of ${covered} of ${task.labels.name.length} labels`),
        ...(rows.length > SHORT ? [chooser(task, sorted)] : []), body, make("p", { class: "note" }, ...onTask(stats)));
      details.open = number_ === record.field("title_task") || task === seen;
      // A hundred labels are written when they are first seen.
      if (details.open) sorted("label");
      else details.addEventListener("toggle", () => sorted("label"), { once: true });
      (covered || details.open ? open : closed).push(details);
    }
    // Of most tasks an expert fires on a few stray rows: they are one line together.
    const more = closed.length === 1 ? "1 more task" : `${closed.length} more tasks`;
    return [...open, ...(closed.length > FEW ? folded(`${more} of which it fires on no label in half of its rows`, closed) : closed)];
  }

  const order = (rows, by) => (by === "label" ? rows : [...rows].sort((one, other) => other[by] - one[by]));

  function chooser(task, sorted) {
    const select = make("select", { "aria-label": `Order of the labels of ${task.title}` }, ...Object.entries(ORDERS).map(([by, title]) => make("option", { value: by }, title)));
    select.addEventListener("change", () => sorted(select.value));
    return make("label", { class: "ordered-by" }, "Labels by ", select);
  }

  function line(task, { label, fires, fired, lift, preference }, band) {
    const swatch = make("span", { class: "swatch" });
    swatch.style.setProperty("--light", task.labels.colours.light[label]);
    swatch.style.setProperty("--dark", task.labels.colours.dark[label]);
    return make("tr", {},
      make("th", { scope: "row" }, swatch, task.labels.name[label]),
      make("td", { class: "bar" }, bar(fires)),
      make("td", {}, percent(fires)),
      make("td", {}, `${count(fired)} of ${count(task.labels.rows[label])}`),
      make("td", {}, `${number(lift)}×`),
      make("td", { class: "bar" }, beside(preference, band)),
      preferred(preference, band));
  }

  // The preference between 0 and 1, on the band that shuffled labels keep to.
  function beside(value, band) {
    const part = (name, from, to) => {
      const made = make("span", { class: name });
      [made.style.insetInlineStart, made.style.inlineSize] = [`${100 * from}%`, `${100 * (to - from)}%`];
      return made;
    };
    return make("span", { class: "preferred" }, ...(band === undefined ? [] : [part("within", 0.5 - band, 0.5 + band)]), part("half", 0.5, 0.5), part("place", value, value));
  }

  // AUROC of the norm for a label; an arrow where it is outside the band that shuffled labels reach.
  function preferred(value, band) {
    const away = band === undefined || Math.abs(value - 0.5) <= band ? "" : value > 0.5 ? "↑" : "↓";
    const meaning = { "↑": "above the band", "↓": "below the band" }[away];
    return make("td", meaning ? { title: meaning } : {}, score(value), make("span", { class: "arrow", ...(meaning ? { role: "img", "aria-label": meaning } : {}) }, away));
  }

  function onTask(stats) {
    const what = [term("preference", "Preference"), ": how often its norm on the label is above that on another row (½: no preference; a ring has none)"];
    if (!stats) return [...what, ". It fires on too few rows for a test."];
    const { preference_band: band, p_label: p } = stats;
    return [
      ...what, "; an arrow where outside ", term("band", `${score(0.5 - band)}–${score(0.5 + band)}`), ", which shuffled labels keep to. ",
      p <= 0.05 ? "Its codes depend on the label (" : "No sign that its codes depend on the label (", term("p_label", "p"), ` ${number(p)}${p <= 0.05 ? "; nearly every expert’s do" : ""}).`,
    ];
  }

  atlas.labels = { show };
})();
