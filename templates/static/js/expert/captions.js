"use strict";
// What is said of a cloud's picture: how many points, what is drawn, on which axes, in which units.
(() => {
  const { count, counted, number, percent } = atlas.words;
  const DRAWN = 3;   // axes
  const THRESHOLDS = [null, "The strokes are", "The circle is", "The sphere is"];   // by the number of axes

  // view: { colouring, way, isGate, supported, isJoined }.
  function caption(record, points, { colouring, way, isGate, supported, isJoined }) {
    const { task, count: shown, kept, isLabelled } = points;
    const many = shown < kept ? `${count(shown)} of ${counted(kept, "firing")}` : counted(shown, "firing");
    const where = isLabelled ? `at the labels of ${task.title}` : `on ${record.source(task.task)}`;
    const by = way === "label" ? "" : `, coloured by ${colouring.title}`;
    return `${many} ${where}${by}${marks(points, supported, isJoined)}. ${drawn(record, points, isGate)}`;
  }

  function marks({ task, means }, supported, isJoined) {
    if (!means.text.length) return "";
    const several = task.labels_per_mean > 1 ? ` of ${task.labels_per_mean} labels each` : "";
    return `; large marks are class means${several}${joining(task, supported, isJoined)}`;
  }

  // What follows a caption's class means: whether they are joined in label order, and why not.
  function joining(task, supported, isJoined) {
    if (supported.some((shape) => shape !== "map")) return ", joined in label order";
    if (isJoined) return ", joined in label order: order not supported";
    if (supported.length) return ". Their arrangement is supported; there is no order to join them in";
    const tested = task.hypotheses.some(({ shape, of_label }) => of_label && (shape === "ring" || shape === "ordinal"));
    return tested ? ". Order not supported, so they are not joined" : "";
  }

  function drawn(record, points, isGate) {
    const { axes, gate } = record.data;
    if (isGate) return `Drawn are codes, turned as the contributions lie. ${THRESHOLDS[Math.min(axes.length, DRAWN)]} the threshold, a norm of ${number(gate.threshold)}: beyond it the expert fires.`;
    const far = number(farthest(points));
    return `Drawn is what each adds to the residual stream, on principal axes${axesTold(axes, record.source(0))} The farthest point lies ${far} residual-stream units from where the expert is silent.`;
  }

  function farthest({ x, y, z, origin, unit, count: n }) {
    let most = 0;
    for (let at = 0; at < n; at += 1) most = Math.max(most, Math.hypot(x[at] - origin[0], y[at] - origin[1], z[at] - origin[2]));
    return most * unit;
  }

  // What the names of the axes say, and what is not drawn.
  function axesTold(axes, first) {
    const known = axes.some((share) => share > 0);
    const said = known ? `, each with its share of the variance on ${first}.` : ".";
    if (axes.length === 1) return `${said} Its contribution is one number: height only spreads the points.`;
    if (axes.length <= DRAWN || !known) return said;
    const held = axes.slice(0, DRAWN).reduce((sum, share) => sum + share, 0);
    const rest = axes.length === DRAWN + 1 ? `axis ${DRAWN + 1}` : axes.length === DRAWN + 2 ? `axes ${DRAWN + 1} and ${DRAWN + 2}` : `axes ${DRAWN + 1} to ${axes.length}`;
    return `${said} The first three hold ${percent(held)} of it, ${rest} the rest.`;
  }

  // The names of the axes that are drawn, each with its share of the variance.
  function axisNames(shares, isGate) {
    return shares.slice(0, DRAWN).map((share, axis) => (isGate ? `code ${axis + 1}` : share > 0 ? `axis ${axis + 1} · ${percent(share)}` : `axis ${axis + 1}`));
  }

  atlas.captions = { caption, axisNames };
})();
