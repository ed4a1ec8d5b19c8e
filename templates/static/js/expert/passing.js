"use strict";
// What a reader takes away from an expert's page: a link, pictures, its points as CSV, all of it as JSON.
(() => {
  const { draw } = atlas.words;
  const { line, stored, give } = atlas.exporting;
  const WIDTH = 1000;   // px of a picture
  const ROW = 18;       // px of a line of the key
  const COLUMN = 200;
  const HEAD = 40;      // px above the caption's lines
  const LEFT = 12;
  const RAMP = 64;
  const FIELDS = ["task", "label", "x", "y", "z", "norm", "position", "document", "template", "importance", "context"];

  const fileName = ({ expert }, task, kind) => `expert-${expert}-${Array.from(task.name.replace(/[^\p{L}\p{N}_-]+/gu, "-")).slice(0, 60).join("")}.${kind}`;

  const plain = ({ before, firing, after }) => [...before, firing, ...after].join("");

  // One line for each point that is drawn, of all its tasks. Coordinates are what it adds to the residual stream.
  async function csv(record) {
    const lines = [line(FIELDS)];
    for (const { task: number } of record.sources) {
      const points = await record.points(number);
      const { task, unit, origin } = points;
      for (let at = 0; at < points.count; at += 1) {
        const context = points.context(at);
        const xyz = [points.x[at], points.y[at], points.z[at]].map((steps, axis) => stored((steps - origin[axis]) * unit));
        const of = [points.position(at), points.document(at), points.template(at)].map(stored);
        lines.push(line([task.name, points.isLabelled ? task.labels.name[points.label(at)] : null, ...xyz, stored(points.norm(at)), ...of, stored(points.importance(at)), context && plain(context)]));
      }
    }
    return new Blob(lines, { type: "text/csv;charset=utf-8" });
  }

  // All that the page has of the expert, columns as rows, numbers of tasks, labels, tokens and experts as what they stand for.
  function json(record) {
    const { manifest, data, texts, expert } = record;
    const columns = Object.fromEntries(Object.keys(manifest.experts).map((name) => [name, known(record.field(name))]));
    const named = (number) => record.task(number).name;
    const hypothesis = (row) => record.task(row.task).hypotheses.find((one) => one.hypothesis === row.hypothesis).title;
    const rows = (table) => rowsOf(table).map((row) => ({ ...row, task: named(row.task) }));
    const words = (indices) => Array.from(indices, (index) => texts[index]);
    const told = {
      atlas: manifest.id, site: document.querySelector("h1").textContent, address: location.href, ...columns, expert,
      title_task: taskName(manifest, columns.title_task), best_task: taskName(manifest, columns.best_task), cloud_task: taskName(manifest, columns.cloud_task),
      orders: (columns.orders ?? []).map((number) => taskName(manifest, number)), sayings: data.sayings, axes: data.axes, gate: data.gate,
      scores: rowsOf(data.scores).map((row) => ({ ...row, task: named(row.task), hypothesis: hypothesis(row) })),
      labels: rowsOf(data.labels).map((row) => ({ ...row, task: named(row.task), label: record.task(row.task).labels.name[row.label] })),
      task_stats: rows(data.task_stats), newline: rows(data.newline),
      groups: data.groups.map((one) => ({ ...one, task: named(one.task), hypothesis: hypothesis(one) })),
      shapes: data.shapes.map(({ tests, ...one }) => ({ ...one, task: named(one.task), ...(tests ? { tests: rowsOf(tests) } : {}) })),
      corpora: data.corpora.map(({ task, contexts, tokens: { sampled, ...tokens }, norms, stats, kept, positions }) => ({
        task: named(task), stats, kept, norms: rowsOf(norms), ...(positions ? { positions: rowsOf(positions) } : {}), tokens_sampled: sampled, tokens: rowsOf({ ...tokens, text: words(tokens.text) }),
        contexts: contexts.flatMap(({ stratum, norm, tokens: indices, around }) => norm.map((one, at) => ({ stratum, norm: one, text: words(indices[at]).join(""), ...(around ? { around: around[at] } : {}) }))),
      })),
      neighbours: Object.fromEntries(Object.entries(data.neighbours).map(([kind, of]) => [kind, of.row ? rowsOf(of).map(({ row, ...one }) => ({ expert: manifest.experts.expert[row], ...one })) : of])),
      ...(data.importance_on ? { importance_on: rows(data.importance_on) } : {}),
    };
    return new Blob([JSON.stringify(told, null, 2), "\n"], { type: "application/json" });
  }

  const known = (value) => (typeof value === "number" && Number.isNaN(value) ? null : value ?? null);
  const taskName = (manifest, number) => manifest.tasks.find(({ task }) => task === number)?.name ?? null;

  // Columns ► one object per row; what is no column, such as a count of all, stays out.
  function rowsOf(columns) {
    const lists = Object.entries(columns).filter(([, column]) => Array.isArray(column));
    return (lists[0]?.[1] ?? []).map((_, at) => Object.fromEntries(lists.map(([name, column]) => [name, column[at]])));
  }

  // The projections with what they show, its key and the address: a file that says by itself what it is of.
  function svg(cloud, colouring, { scheme, colours, title, caption }) {
    const { svg: picture, height } = atlas.projections.picture(cloud, WIDTH, colours);
    const entries = colouring.entries.filter(({ count }) => count);
    const columns = Math.floor(WIDTH / COLUMN);
    const rows = Math.ceil(entries.length / columns);
    const told = wrapped(caption, WIDTH - 2 * LEFT);
    const head = HEAD + ROW * told.length;
    const foot = (colouring.axis ? RAMP : 0) + rows * ROW + 48;
    const all = head + height + foot;
    const text = (words, x, y, more = {}) => draw("text", { x, y, fill: colours.text, "font-size": 12, ...more }, words);
    const root = draw("svg", { xmlns: "http://www.w3.org/2000/svg", viewBox: `0 0 ${WIDTH} ${all}`, width: WIDTH, height: all, "font-family": picture.getAttribute("font-family"), role: "img" },
      draw("title", {}, title), draw("desc", {}, `${caption} ${location.href}`), draw("rect", { width: WIDTH, height: all, fill: colours.ground }),
      text(title, LEFT, 24, { "font-size": 15, "font-weight": 600 }), ...told.map((words, at) => text(words, LEFT, 44 + ROW * at, { fill: colours.muted })));
    picture.setAttribute("y", head);
    picture.removeAttribute("xmlns");
    root.append(picture);
    const top = head + height + 16;
    if (colouring.axis) root.append(...ramp(colouring.axis, scheme, top, text, colours));
    const from = top + (colouring.axis ? RAMP : 0);
    entries.forEach((entry, at) => {
      const [x, y] = [LEFT + COLUMN * (at % columns), from + ROW * Math.floor(at / columns)];
      root.append(draw("circle", { cx: x + 4, cy: y - 4, r: 4, fill: entry[scheme] }), text(`${atlas.names.short(entry.text)} · ${entry.count}`, x + 14, y));
    });
    root.append(text(location.href, LEFT, all - 12, { fill: colours.muted }));
    return new Blob([`<?xml version="1.0" encoding="UTF-8"?>\n${new XMLSerializer().serializeToString(root)}\n`], { type: "image/svg+xml" });
  }

  // A text in lines that are not too wide.
  function wrapped(text, width) {
    const lines = [""];
    for (const word of text.split(" ")) {
      const longer = lines.at(-1) ? `${lines.at(-1)} ${word}` : word;
      if (lines.at(-1) && atlas.projections.measured(longer) > width) lines.push(word); else lines[lines.length - 1] = longer;
    }
    return lines;
  }

  function ramp({ title, ticks, ...axis }, scheme, top, text, colours) {
    const [left, wide] = [LEFT, 400];
    const shades = axis[scheme];
    const step = wide / shades.length;
    return [
      text(title, left, top, { fill: colours.muted }),
      ...shades.map((fill, at) => draw("rect", { x: (left + at * step).toFixed(1), y: top + 8, width: (step + 0.5).toFixed(1), height: 10, fill })),
      ...ticks.map(({ at, text: words }) => text(words, (left + at * wide).toFixed(1), top + 34, { fill: colours.muted, "text-anchor": at < 0.1 ? "start" : at > 0.9 ? "end" : "middle" })),
    ];
  }

  // The bytes of a data URL: the page may not fetch.
  function bytes(url) {
    const [head, base64] = url.split(",");
    const text = atob(base64);
    return new Blob([Uint8Array.from(text, (character) => character.charCodeAt(0))], { type: /data:(.*?);/.exec(head)[1] });
  }

  // Puts the address of what is shown into the clipboard; false where the browser forbids it.
  async function link() {
    atlas.route.settle();
    try {
      await navigator.clipboard.writeText(location.href);
      return true;
    } catch { return false; }   // as on many pages opened from disk
  }

  atlas.passing = { fileName, csv, json, svg, bytes, link, give };
})();
