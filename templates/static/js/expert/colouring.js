"use strict";
// What the points of a cloud can be coloured by, and what a choice of it makes of them: entries of the key, or an axis.
(() => {
  const { counted, number } = atlas.words;
  const NAMED = 10;        // tokens and documents that have a colour of their own
  const TICKS = 5;
  const SHADES = 32;
  const BEYOND = 0.02;     // of the importances lie beyond the ends of their axis: a few large ones would leave one shade to all others
  const MANY = 50;         // points of which that may be said; of fewer none lies beyond
  const QUARTERS = ["Highest quarter by norm", "Second quarter", "Third quarter", "Lowest quarter"];
  const LABEL = "label";
  const COMMON = { norm: "norm", importance: "importance", band: "quarter by norm", position: "position" };
  const OF_CORPORA = { token: "token", document: "document" };
  const OF_LABELS = { template: "template" };

  // --- which ways there are ---

  // The ways to colour the points of a task, [name, words], its own first. A target of several numbers has a way for each.
  function ways(task) {
    if (task.kind === "corpus") return [...Object.entries(COMMON), ...Object.entries(OF_CORPORA)];
    const common = Object.entries(COMMON).filter(([name]) => task.has_text || name !== "position");
    return [[LABEL, LABEL], ...task.hypotheses.flatMap(ofHypothesis), ...common, ...Object.entries(OF_LABELS)];
  }

  function ofHypothesis({ name, title, shape, targets }) {
    if (shape !== "map") return targets.length ? [[name, title]] : [];
    return targets.map((_, at) => [`${name}.${at + 1}`, `${title}, number ${at + 1} of ${targets.length}`]);
  }

  const own = (task) => ways(task)[0][0];

  // What an address says: the task by its name, and the way, null for its own or one that is not known. A name may hold a colon.
  function read(manifest, text) {
    const named = (name) => manifest.tasks.find((task) => task.name === name);
    const cut = (text ?? "").lastIndexOf(":");
    const task = cut < 0 ? undefined : named(text.slice(0, cut));
    const way = text?.slice(cut + 1);
    if (task && ways(task).some(([name]) => name === way)) return { task, way };
    return { task: named(text) ?? task, way: null };
  }

  const write = (task, way) => (way === own(task) ? task.name : `${task.name}:${way}`);

  // As an option: a way that is not the task's own says where it is seen.
  function told(record, task, [name, words]) {
    return name === LABEL ? task.title : `${words}, on ${record.source(task.task)}`;
  }

  // --- what a way makes of the points ---

  const none = ({ light, dark }) => ({ light: light.none, dark: dark.none });
  const category = ({ light, dark }, at) => ({ light: light.categories[at], dark: dark.categories[at] });

  // entries: { text, light, dark } in the order of the key; of: the place of each point's entry; ofLabel(label): of a label's, null if it has
  // none. A class mean is of a group of labels: means(groups, scheme) are their colours, and place(labels) is the entry of one, null where it
  // has no colour or entry of its own.
  function categories(title, entries, of, ofLabel = () => null) {
    const counts = new Uint32Array(entries.length);
    for (const place of of) counts[place] += 1;
    return {
      title,
      axis: null,
      entries: entries.map((entry, at) => ({ ...entry, count: counts[at] })),
      of,
      tell: (at) => entries[of[at]].text,
      colours: (scheme) => Array.from(of, (place) => entries[place][scheme]),
      place: (labels) => shared(labels.map(ofLabel)),
      means: (groups, scheme) => groups.map((labels) => entries[shared(labels.map(ofLabel))]?.[scheme] ?? null),
    };
  }

  // axis: { low, high, ticks: [{ at, text }], shades by scheme, note }; value(at) is NaN where there is none; ofLabel(label) is a label's value.
  function amounts(title, axis, points, value, colours, ofLabel = null) {
    const shade = (of, scheme) => {
      if (Number.isNaN(of)) return colours[scheme].none;
      const { [scheme]: shades } = axis;
      const share = axis.high > axis.low ? (of - axis.low) / (axis.high - axis.low) : 0;
      return shades[Math.max(0, Math.min(shades.length - 1, Math.floor(share * shades.length)))];
    };
    let missing = 0;
    for (let at = 0; at < points.count; at += 1) missing += Number.isNaN(value(at));
    return {
      title,
      axis,
      entries: missing ? [{ text: "not measured", ...none(colours), count: missing }] : [],
      of: null,
      tell: (at) => (Number.isNaN(value(at)) ? `${title} not measured` : `${title} ${number(value(at))}`),
      colours: (scheme) => Array.from({ length: points.count }, (_, at) => shade(value(at), scheme)),
      place: () => null,
      means: (groups, scheme) => groups.map((labels) => (ofLabel ? shade(labels.reduce((sum, label) => sum + ofLabel(label), 0) / labels.length, scheme) : null)),
    };
  }

  // What all of them are, null where they differ.
  const shared = (values) => (values.every((value) => value === values[0]) ? values[0] : null);

  function ticked(low, high, isWhole = false) {
    if (!(high > low)) return [{ at: 0, text: number(low) }];
    return atlas.chart.ticks(low, high, TICKS).filter((value) => !isWhole || Number.isInteger(value)).map((value) => ({ at: (value - low) / (high - low), text: number(value) }));
  }

  const shades = ({ light, dark }, name) => ({ light: light[name], dark: dark[name] });

  // What is measured of several clouds: value(points, at) is NaN where it is not.
  const values = (clouds, value) => clouds.flatMap((points) => Array.from({ length: points.count }, (_, at) => value(points, at))).filter((one) => !Number.isNaN(one));

  function along(title, unit, clouds, value, colours, ofLabel = null) {
    const all = values(clouds, value);
    const [low, high] = all.length ? all.reduce(([least, most], one) => [Math.min(least, one), Math.max(most, one)], [Infinity, -Infinity]) : [0, 0];
    const axis = { low, high, ticks: ticked(low, high, all.every(Number.isInteger)), ...shades(colours, "ramp"), title: `${title} (${unit})`, note: null };
    return amounts(title, axis, clouds[0], (at) => value(clouds[0], at), colours, ofLabel);
  }

  // A true zero in the middle, a hue for each sign.
  function diverging(title, unit, clouds, value, colours) {
    const sizes = values(clouds, value).map(Math.abs).sort((one, other) => one - other);
    const end = sizes[Math.floor((sizes.length - 1) * (sizes.length < MANY ? 1 : 1 - BEYOND))] || sizes.at(-1) || 1;
    const own = values(clouds.slice(0, 1), value);
    const beyond = own.filter((one) => Math.abs(one) > end).length;
    const mixed = ({ none: grey, categories: [plus, minus] }) => [...fade(minus, grey).reverse(), ...fade(plus, grey)];
    const note = beyond ? `${number(beyond)} of ${counted(own.length, "point")} ${beyond === 1 ? "lies" : "lie"} beyond the ends.` : null;
    const axis = { low: -end, high: end, ticks: ticked(-end, end), light: mixed(colours.light), dark: mixed(colours.dark), title: `${title} (${unit})`, note };
    return amounts(title, axis, clouds[0], (at) => value(clouds[0], at), colours);
  }

  // From a grey to a colour.
  function fade(colour, grey) {
    const channel = (text, at) => parseInt(text.slice(at, at + 2), 16);
    const steps = 12;
    return Array.from({ length: steps }, (_, step) => {
      const share = (step + 0.5) / steps;
      const mixed = [1, 3, 5].map((at) => Math.round(channel(grey, at) * (1 - share) + channel(colour, at) * share));
      return `#${mixed.map((one) => one.toString(16).padStart(2, "0")).join("")}`;
    });
  }

  function labels([points], { task }) {
    const { name, colours: { light, dark } } = task.labels;
    const entries = name.map((text, at) => ({ text, light: light[at], dark: dark[at] }));
    const made = categories(task.title, entries, Int32Array.from({ length: points.count }, (_, at) => points.label(at)), (label) => label);
    if (task.labels_per_mean === 1) return made;
    return { ...made, axis: inOrder(task), means: (groups, scheme) => groups.map((of) => entries[of[of.length >> 1]][scheme]) };
  }

  // Of labels too many to be named in the scene, the colours in label order.
  function inOrder({ title, labels: { name, colours } }) {
    const last = name.length - 1;
    const sampled = (scheme) => Array.from({ length: Math.min(name.length, SHADES) }, (_, step, steps = Math.min(name.length, SHADES)) => colours[scheme][Math.round(step / (steps - 1) * last)]);
    const ticks = [0, 1, 2, 3, 4].map((step) => Math.round(step / 4 * last)).map((at) => ({ at: at / last, text: name[at] }));
    return { low: 0, high: last, ticks, light: sampled("light"), dark: sampled("dark"), title: `${title}, in label order`, note: null };
  }

  function hypothesis(clouds, { task, way, colours }) {
    const [points] = clouds;
    const { of, title, part } = task.hypotheses.flatMap((one) => ofHypothesis(one).map(([name, words], at) => ({ of: one, name, title: words, part: at }))).find(({ name }) => name === way);
    const { targets } = of;
    if (of.shape === "classes") {
      const shade = (at) => (of.classes.length <= colours.light.categories.length ? category(colours, at) : turned(colours, at / of.classes.length));
      const place = (label) => targets[0][label];
      return categories(title, of.classes.map((text, at) => ({ text, ...shade(at) })), Int32Array.from({ length: points.count }, (_, at) => place(points.label(at))), place);
    }
    const target = of.shape === "ring" ? (label) => turn(targets[0][label], targets[1][label]) : (label) => targets[part][label];
    if (of.shape !== "ring") return along(title, of.description, clouds, (cloud, at) => target(cloud.label(at)), colours, target);
    const value = (at) => target(points.label(at));
    const axis = { low: 0, high: 1, ticks: round(task.labels.name, target), ...shades(colours, "cycle"), title: `${title}: the angle of ${of.description}`, note: null };
    // Of several labels there is no angle in between.
    const made = amounts(title, axis, points, value, colours, task.labels_per_mean === 1 ? target : null);
    return { ...made, tell: (at) => `${title} at ${Math.round(360 * value(at))}°` };
  }

  // Some labels that stand round a ring, each at its angle, so far apart that their names have room.
  function round(names, target) {
    const all = names.map((text, label) => ({ at: target(label), text })).sort((one, other) => one.at - other.at);
    return all.reduce((kept, tick) => (kept.length && tick.at - kept.at(-1).at < 1 / TICKS ? kept : [...kept, tick]), []);
  }

  const turned = ({ light, dark }, share) => ({ light: light.cycle[Math.floor(share * light.cycle.length)], dark: dark.cycle[Math.floor(share * dark.cycle.length)] });

  // A sine and a cosine ► a share of the turn, from 0 to below 1.
  function turn(sine, cosine) {
    const share = Math.round(1e6 * Math.atan2(sine, cosine) / (2 * Math.PI)) / 1e6;
    return share < 0 ? share + 1 : share;
  }

  function quarters([points], { colours }) {
    const order = Array.from({ length: points.count }, (_, at) => at).sort((one, other) => points.norm(other) - points.norm(one));
    const of = new Int32Array(points.count);
    order.forEach((at, rank) => { of[at] = Math.floor(rank / points.count * QUARTERS.length); });
    const shade = ({ ramp }, at) => ramp[Math.round((QUARTERS.length - 1 - at) / (QUARTERS.length - 1) * (ramp.length - 1))];
    return categories(COMMON.band, QUARTERS.map((text, at) => ({ text, light: shade(colours.light, at), dark: shade(colours.dark, at) })), of);
  }

  // The most frequent have a colour each, what is in none of them is grey.
  function frequent(title, clouds, colours, key, text) {
    const [points] = clouds;
    const counts = new Map();
    for (const one of clouds) for (let at = 0; at < one.count; at += 1) counts.set(key(one, at), (counts.get(key(one, at)) ?? 0) + 1);
    counts.delete(null);
    const kept = [...counts.keys()].sort((one, other) => counts.get(other) - counts.get(one) || (one < other ? -1 : 1)).slice(0, NAMED);
    const place = new Map(kept.map((one, at) => [one, at]));
    const rest = counts.size - kept.length;
    const entries = [
      ...kept.map((one, at) => ({ text: text(one), ...category(colours, at) })),
      { text: rest ? `${counted(rest, `other ${title}`)}${clouds.length > 1 ? " of both" : ""}` : "not known", ...none(colours) },
    ];
    return categories(title, entries, Int32Array.from({ length: points.count }, (_, at) => place.get(key(points, at)) ?? kept.length));
  }

  const known = (value) => (Number.isNaN(value) ? null : value);

  const MAKERS = {
    [LABEL]: labels,
    norm: (clouds, { colours }) => along("norm", "of the code", clouds, (points, at) => points.norm(at), colours),
    importance: (clouds, { colours }) => diverging("importance", "error without the firing less that with it ÷ mean variance", clouds, (points, at) => points.importance(at), colours),
    position: (clouds, { colours }) => along("position", "tokens before it in its window", clouds, (points, at) => points.position(at), colours),
    band: quarters,
    token: (clouds, { colours }) => frequent("token", clouds, colours, (points, at) => points.context(at).firing, (text) => text),
    document: (clouds, { colours }) => frequent("document", clouds, colours, (points, at) => known(points.document(at)), (one) => `document ${one}`),
    template: (clouds, { colours }) => frequent("template", clouds, colours, (points, at) => known(points.template(at)), (one) => `template ${one}`),
  };

  // A cloud's colouring: its title, the `entries` of the key or the `axis`, colours of points and of class means by scheme. What is frequent, and
  // how far an axis goes, is of that cloud and of the one `beside` it, so that a colour means the same in both; quarters are each one's own.
  function of(points, way, manifest, beside = null) {
    const { task } = points;
    return (Object.hasOwn(MAKERS, way) ? MAKERS[way] : hypothesis)(beside ? [points, beside] : [points], { task, way, colours: manifest.colours });
  }

  // Whether each entry is left by what is isolated and what is hidden; entries that the key has not are passed over.
  function kept({ entries }, { only, without }) {
    const isolated = entries.some(({ text }) => only.includes(text));
    return entries.map(({ text }) => (!isolated || only.includes(text)) && !without.includes(text));
  }

  atlas.colouring = { ways, read, write, told, own, of, kept };
})();
