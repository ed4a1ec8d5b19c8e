"use strict";
// What the dots of the map can be coloured by. A category has a mark of its own beside its colour; a number has an axis.
(() => {
  const { number, percent } = atlas.words;
  // Within about 1 of the middle, for a canvas and for a picture of the legend alike.
  const MARKS = {
    disc: "M1 0A1 1 0 1 1 -1 0A1 1 0 1 1 1 0Z",
    square: "M-.9-.9H.9V.9H-.9Z",
    triangle: "M0-1.15L1.1.8H-1.1Z",
    diamond: "M0-1.3L1.3 0L0 1.3L-1.3 0Z",
    plus: "M-.4-1.2H.4V-.4H1.2V.4H.4V1.2H-.4V.4H-1.2V-.4H-.4Z",
    ring: "M1.2 0A1.2 1.2 0 1 1 -1.2 0A1.2 1.2 0 1 1 1.2 0ZM.6 0A.6 .6 0 1 0 -.6 0A.6 .6 0 1 0 .6 0Z",
    bar: "M-1.15.6L.6-1.15L1.15-.6L-.6 1.15Z",
    arc: "M-1.25.7A1.25 1.25 0 0 1 1.25 .7H.6A.6 .6 0 0 0 -.6 .7Z",
    pair: "M-.1-.55A.65 .65 0 1 1 -1.4-.55A.65 .65 0 1 1 -.1-.55ZM1.4.55A.65 .65 0 1 1 .1.55A.65 .65 0 1 1 1.4.55Z",
    speck: "M.75 0A.75 .75 0 1 1 -.75 0A.75 .75 0 1 1 .75 0Z",
  };
  const ROOM = 0.24;   // of an axis, from one tick to the next
  const IN_TURN = ["disc", "square", "triangle", "diamond", "plus"];
  const OF_SHAPE = { "line or ray": ["bar", 0], curve: ["arc", 2], ring: ["ring", 1], sheet: ["square", 3], clusters: ["pair", 4] };
  const FOLLOWING = ["score", "coverage"];   // of the task or hypothesis that is asked for

  const grey = ({ light, dark }) => ({ light: light.none, dark: dark.none });
  const category = ({ light, dark }, at) => ({ light: light.categories[at], dark: dark.categories[at] });

  // A hue: kinds, how dots look, the least of claims first; of, each row's kind; tell(row), what its kind rests on; ticks of an
  // axis; a note below the legend.

  // The largest groups have a colour each; what is in none of them, and in none at all, is grey.
  function groups(title, group, name, { none, other }, colours) {
    let last = 0;
    for (let row = 0; row < group.length; row += 1) last = Math.max(last, group[row]);
    const sizes = new Uint32Array(last + 1);
    for (let row = 0; row < group.length; row += 1) if (group[row] >= 0) sizes[group[row]] += 1;
    const large = Array.from(sizes.keys()).filter((one) => sizes[one]).sort((a, b) => sizes[b] - sizes[a] || a - b);
    const kept = large.slice(0, colours.light.categories.length);
    const kinds = [
      { text: none, mark: "speck", ...grey(colours) },
      ...(large.length > kept.length ? [{ text: other, mark: "ring", ...grey(colours) }] : []),
      ...kept.map((one, at) => ({ text: name(one), mark: IN_TURN[at % IN_TURN.length], ...category(colours, at) })),
    ];
    const kind = new Uint8Array(last + 1).fill(1);
    kept.forEach((one, at) => { kind[one] = kinds.length - kept.length + at; });
    const of = new Uint8Array(group.length);
    for (let row = 0; row < group.length; row += 1) if (group[row] >= 0) of[row] = kind[group[row]];
    return { title, kinds, of, tell: (row) => (group[row] >= 0 ? name(group[row]) : "") };
  }

  const named = (tasks) => (number_) => tasks.find(({ task }) => task === number_).title;

  function titles({ experts: { title_task: tasks }, tasks: all }, colours) {
    const group = new Int32Array(tasks.length);
    for (let row = 0; row < group.length; row += 1) group[row] = tasks[row] ?? -1;
    return { ...groups("title’s task", group, named(all), { none: "names no task", other: "another task" }, colours), tell: () => "" };
  }

  // An expert with several orders is coloured by that of its title's task, else by the first.
  function orders({ experts: { orders: found, title_task: titled }, tasks }, colours) {
    const group = new Int32Array(found.length).fill(-1);
    for (let row = 0; row < found.length; row += 1) if (found[row].length) group[row] = found[row].includes(titled[row]) ? titled[row] : found[row][0];
    const title = named(tasks);
    const hue = groups("supported order", group, title, { none: "none supported", other: "of another task" }, colours);
    return { ...hue, tell: (row) => (found[row].length ? `order supported: ${found[row].map(title).join(", ")}` : "no order supported") };
  }

  function clusters({ map }, colours, cluster) {
    const group = new Int32Array(cluster.length);
    for (let row = 0; row < group.length; row += 1) group[row] = cluster[row] - 1;
    const name = (place) => atlas.clusters.short(map.clusters.name[place]);
    return { ...groups("cluster", group, name, { none: "in no cluster", other: "another cluster" }, colours), tell: () => "" };
  }

  function activity({ experts: { silent, dense } }, colours) {
    const kinds = [
      { text: "neither silent nor dense", mark: "speck", ...grey(colours) },
      { text: "silent", mark: "square", ...category(colours, 0) },
      { text: "dense", mark: "triangle", ...category(colours, 1) },
    ];
    const of = new Uint8Array(silent.length);
    for (let row = 0; row < of.length; row += 1) of[row] = silent[row] ? 1 : dense[row] ? 2 : 0;
    return { title: "activity", kinds, of, tell: (row) => (of[row] ? kinds[of[row]].text : "") };
  }

  function shapes({ tasks }, colours, classes) {
    const claims = classes.names.filter((name) => classes.isClaim(name));
    const kinds = [
      { text: "unclear, or too little to tell", mark: "speck", ...grey(colours) },
      ...claims.map((text) => ({ text, mark: OF_SHAPE[text][0], ...category(colours, OF_SHAPE[text][1]) })),
    ];
    const kind = Uint8Array.from(classes.names, (name) => 1 + claims.indexOf(name));
    const of = new Uint8Array(classes.shown.length);
    for (let row = 0; row < of.length; row += 1) of[row] = kind[classes.shown[row]] ?? 0;
    const corpus = tasks.filter(({ kind: one }) => one === "corpus").length > 1 ? "first corpus" : "corpus";
    const note = `A dot’s shape is that of its small cloud in the list, or on the ${corpus} where this has none. The filter finds a shape on any source.`;
    return { title: "shape", note, kinds, of, tell: (row) => classes.names[classes.at(row)] ?? "too little to tell" };
  }

  // --- numbers: colours go evenly over the axis, or over its logarithm ---

  function amount({ title, scale, percent: isShare, edges }, values, colours) {
    const axis = scale === "log" ? logarithmic(edges) : even(edges, scale === "whole");
    const { ramp } = colours.light;
    const steps = scale === "whole" ? Math.min(ramp.length, edges.length - 1) : ramp.length;
    const shade = (step) => (steps < 2 ? 0 : Math.round(step / (steps - 1) * (ramp.length - 1)));
    const kinds = [
      { text: "not measured", mark: "speck", ...grey(colours) },
      { text: "0 or less", mark: "ring", ...grey(colours) },
      ...Array.from({ length: steps }, (_, step) => ({ mark: "disc", light: ramp[shade(step)], dark: colours.dark.ramp[shade(step)] })),
    ];
    const said = (value) => (isShare ? `${number(100 * value)}\u202f%` : number(value));
    const tell = (row) => (Number.isNaN(values[row]) ? `${title} not measured` : `${title} ${isShare ? percent(values[row]) : number(values[row])}`);
    const ticks = apart(axis.ticks.map((value) => ({ at: axis.mark(value), text: said(value) })));
    return { title, kinds, of: stepped(values, axis, steps), tell, ticks };
  }

  const EXACT = 1e-6;   // columns are in single precision

  function stepped(values, { low, span, isLog }, steps) {
    const of = new Uint8Array(values.length);
    for (let row = 0; row < of.length; row += 1) {
      const value = values[row];
      if (Number.isNaN(value)) continue;
      if (isLog && value <= 0) { of[row] = 1; continue; }
      const share = ((isLog ? Math.log10(value) : value) - low) / span;
      of[row] = 2 + Math.max(0, Math.min(steps - 1, Math.floor(steps * share + EXACT)));
    }
    return of;
  }

  // The first bin holds the tail of the smallest: it would take up half of the axis, and has the first colour alone.
  function logarithmic(edges) {
    const positive = edges.filter((edge, at) => edge > 0 && (at > 0 || edges.length < 3));
    const low = Math.log10(positive[0]);
    const span = Math.log10(positive.at(-1)) - low || 1;
    const mark = (value) => (Math.log10(value) - low) / span;
    return { low, span, isLog: true, mark, ticks: decades(low, low + span) };
  }

  // Whole numbers stand in the middles of their steps.
  function even(edges, isWhole) {
    const low = edges[0];
    const span = edges.at(-1) - low || 1;
    const mark = (value) => (value + (isWhole ? 0.5 : 0) - low) / span;
    return { low, span, isLog: false, mark, ticks: rounded(low, low + span - (isWhole ? 1 : 0), isWhole) };
  }

  // Round numbers between two logarithms: powers of ten, and more between these where there are few.
  function decades(low, high) {
    const within = (steps) => {
      const found = [];
      for (let power = Math.floor(low); power <= high; power += 1) found.push(...steps.map((step) => Number(`${step}e${power}`)));
      return found.filter((value) => Math.log10(value) >= low - EXACT && Math.log10(value) <= high + EXACT);
    };
    const ways = [[1], [1, 2, 5], [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8]].map(within);
    return ways.find((found) => found.length > 1) ?? ways.at(-1);
  }

  // Round numbers at even steps, so far apart that their words have room.
  function rounded(low, high, isWhole) {
    const least = ROOM * (high - low) || 1;
    const power = Math.floor(Math.log10(least));
    const round = [1, 2, 2.5, 5, 10].map((step) => Number(`${step}e${power}`)).find((step) => step >= least - EXACT);
    const step = isWhole ? Math.max(1, Math.ceil(round)) : round;
    const found = [];
    for (let at = Math.ceil(low / step - EXACT); at * step <= high + EXACT; at += 1) found.push(Number((at * step).toPrecision(6)));
    return found;
  }

  // Ticks whose words have room beside each other.
  const apart = (ticks) => ticks.reduce((kept, tick) => (kept.length && tick.at - kept.at(-1).at < ROOM ? kept : [...kept, tick]), []);

  // By the name that stands in the address; the first is the page's own. Each is made when first asked for.
  class Hues {
    #manifest; #finder; #colours; #ways; #made = new Map();

    // classes: of shapes, or null.
    constructor(manifest, finder, classes) {
      [this.#manifest, this.#finder, this.#colours] = [manifest, finder, manifest.colours];
      const colours = this.#colours;
      this.#ways = {
        title: ["title’s task", () => titles(manifest, colours)],
        ...(classes ? { shape: ["shape", () => shapes(manifest, colours, classes)] } : {}),
        cluster: ["cluster", () => clusters(manifest, colours, finder.cluster)],
        order: ["supported order", () => orders(manifest, colours)],
        activity: ["activity", () => activity(manifest, colours)],
        ...Object.fromEntries(finder.amounts.map((one) => [one.key, [one.title, (found) => amount(one, finder.values(one.key, found.score), colours)]])),
      };
    }

    // [name, title] of each that a state can be coloured by.
    names(state) {
      const label = this.#label(state);
      return [...Object.entries(this.#ways).map(([name, [title]]) => [name, title]), ...(label ? [["fires", `fires on ${label.title}`]] : [])];
    }

    // The label of the first filter, once it is loaded.
    #label({ label: [first] }) {
      const label = first === undefined ? undefined : this.#finder.label(first);
      return label && this.#finder.knows(label.task) ? label : null;
    }

    of(name, state, found) {
      const label = name === "fires" ? this.#label(state) : null;
      const rests = label ? state.label[0] : FOLLOWING.includes(name) ? found.score : null;
      const made = this.#made.get(name);
      if (made?.rests === rests && made) return made.hue;
      const hue = label ? this.#fires(label) : this.#ways[name][1](found);
      this.#made.set(name, { rests, hue });
      return hue;
    }

    #fires(label) {
      const shares = new Float32Array(this.#manifest.experts.expert.length);
      this.#finder.firing(label, 0, (row, share) => { shares[row] = share; });
      const axis = { title: `fires on ${label.title}`, scale: "linear", percent: true, edges: [0, 1] };
      return amount(axis, shares, this.#colours);
    }
  }

  atlas.hues = { MARKS, Hues };
})();
