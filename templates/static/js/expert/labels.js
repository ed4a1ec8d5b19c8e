"use strict";
// How an expert fires on the labels of each task, and whether it prefers some.
(() => {
  const { make, count, number, score, percent } = atlas.words;
  const { rowsOf } = atlas.records;
  const { bar, folded, table } = atlas.tables;
  const FEW = 2;   // tasks that are named though the expert hardly fires on them

  function show(record) {
    const { labels, task_stats } = record.data;
    const tasks = [...new Set(labels.task)];
    const [open, closed] = [[], []];
    for (const number_ of tasks) {
      const task = record.task(number_);
      const at = labels.task.flatMap((one, index) => (one === number_ ? [index] : []));
      const covered = at.filter((index) => labels.fires[index] >= 0.5).length;
      const stats = rowsOf(task_stats).find((row) => row.task === number_);
      const rows = at.map((index) => line(task, labels, index, stats?.preference_band));
      const details = make("details", {}, make("summary", {}, `${task.title}: fires on at least half the rows of ${covered} of ${task.labels.name.length} labels`),
        make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${task.title}, label by label` }, table(["Label", "", "Fires", "Rows", "Lift", "Preference"], rows)),
        make("p", { class: "note" }, onTask(stats)));
      details.open = number_ === record.field("title_task") || task.name === atlas.stage.asked(atlas.route.state);
      (covered || details.open ? open : closed).push(details);
    }
    // Of most tasks an expert fires on a few stray rows: they are one line together.
    const more = closed.length === 1 ? "1 more task" : `${closed.length} more tasks`;
    return [...open, ...(closed.length > FEW ? folded(`${more} of which it fires on no label in half of its rows`, closed) : closed)];
  }

  function line(task, labels, at, band) {
    const label = labels.label[at];
    const swatch = make("span", { class: "swatch" });
    swatch.style.setProperty("--light", task.labels.colours.light[label]);
    swatch.style.setProperty("--dark", task.labels.colours.dark[label]);
    return make("tr", {},
      make("th", { scope: "row" }, swatch, task.labels.name[label]),
      make("td", { class: "bar" }, bar(labels.fires[at])),
      make("td", {}, percent(labels.fires[at])),
      make("td", {}, `${count(labels.fired[at])} of ${count(task.labels.rows[label])}`),
      make("td", {}, `${number(labels.lift[at])}×`),
      preferred(labels.preference[at], band));
  }

  // AUROC of the norm for a label; an arrow where it is outside the band that shuffled labels reach.
  function preferred(value, band) {
    const away = band === undefined || Math.abs(value - 0.5) <= band ? "" : value > 0.5 ? "↑" : "↓";
    const meaning = { "↑": "above the band", "↓": "below the band" }[away];
    return make("td", meaning ? { title: meaning } : {}, score(value), make("span", { class: "arrow", ...(meaning ? { role: "img", "aria-label": meaning } : {}) }, away));
  }

  function onTask(stats) {
    const what = "Preference: how often its norm on the label is above that on another row (½: no preference; a ring has none)";
    if (!stats) return `${what}. It fires on too few rows for a test.`;
    const { preference_band: band, p_label: p } = stats;
    return `${what}; an arrow where outside ${score(0.5 - band)}–${score(0.5 + band)}, which shuffled labels keep to. ${p <= 0.05 ? `Its codes depend on the label (p ${number(p)}; nearly every expert’s do).` : `No sign that its codes depend on the label (p ${number(p)}).`}`;
  }

  atlas.labels = { show };
})();
