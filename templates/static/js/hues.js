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
  const TAIL = 0.02;   // of experts
  const ROOM = 0.25;   // of the axis
  const IN_TURN = ["disc", "square", "triangle", "diamond", "plus"];
  const OF_SHAPE = { "line or ray": ["bar", 0], curve: ["arc", 2], ring: ["ring", 1], sheet: ["square", 3], clusters: ["pair", 4] };

  // kinds: how dots look, the least of claims first; of: each row's kind; tell: what a row's kind rests on; ticks: of an axis; note: below the legend.
  function titles({ experts, tasks }, colours) {
    const sizes = new Map();
    for (const task of experts.title_task) if (task !== null) sizes.set(task, (sizes.get(task) ?? 0) + 1);
    const most = colours.light.categories.length;
    const large = [...sizes.keys()].sort((a, b) => sizes.get(b) - sizes.get(a) || a - b);
    const kept = large.slice(0, most);
    const title = (task) => tasks.find((one) => one.task === task).title;
    const kinds = [
      { text: "names no task", mark: "speck", ...grey(colours) },
      ...(large.length > most ? [{ text: "another task", mark: "ring", ...grey(colours) }] : []),
      ...kept.map((task, at) => ({ text: title(task), mark: IN_TURN[at % IN_TURN.length], ...category(colours, at) })),
    ];
    const first = kinds.length - kept.length;
    const of = experts.title_task.map((task) => (task === null ? 0 : kept.includes(task) ? first + kept.indexOf(task) : 1));
    return { title: "title’s task", kinds, of, tell: () => "" };
  }

  function shapes({ experts, tasks }, colours, classes) {
    const claims = classes.names.filter((name) => classes.isClaim(name));
    const kinds = [
      { text: "unclear, or too little to tell", mark: "speck", ...grey(colours) },
      ...claims.map((text) => ({ text, mark: OF_SHAPE[text][0], ...category(colours, OF_SHAPE[text][1]) })),
    ];
    const place = classes.names.map((name) => kinds.findIndex(({ text }) => text === name));
    const of = experts.expert.map((_, row) => Math.max(0, place[classes.at(row)] ?? 0));
    const corpus = tasks.filter(({ kind }) => kind === "corpus").length > 1 ? "first corpus" : "corpus";
    const note = `A dot’s shape is that of its small cloud in the list, or on the ${corpus} where this has none. The filter finds a shape on any source.`;
    return { title: "shape", note, kinds, of, tell: (row) => classes.names[classes.at(row)] ?? "too little to tell" };
  }

  // Colours go evenly over the logarithm. The few smallest values share the first one: their tail would take up half of the axis.
  function amount(title, column, colours) {
    const seen = column.filter((value) => value > 0).map(Math.log10).sort((one, other) => one - other);
    const low = seen[Math.floor(TAIL * seen.length)] ?? 0;
    const span = (seen.at(-1) ?? 0) - low || 1;
    const steps = colours.light.ramp.length;
    const share = (value) => (Math.log10(value) - low) / span;
    const kinds = [
      { text: "0 or less", mark: "speck", ...grey(colours) },
      ...colours.light.ramp.map((light, at) => ({ mark: "disc", light, dark: colours.dark.ramp[at] })),
    ];
    const of = column.map((value) => (value > 0 ? 1 + Math.max(0, Math.min(steps - 1, Math.floor(steps * share(value)))) : 0));
    const ticks = round(low, low + span).map((value) => ({ at: share(value), text: `${number(100 * value)}\u202f%` }));
    return { title, kinds, of, tell: (row) => `${title} ${percent(column[row])}`, ticks: apart(ticks) };
  }

  // Round numbers between two logarithms: powers of ten, with 2 and 5 times these where there are few.
  function round(low, high) {
    const within = (steps) => {
      const found = [];
      for (let power = Math.floor(low); power <= high; power += 1) found.push(...steps.map((step) => Number(`${step}e${power}`)));
      return found.filter((value) => Math.log10(value) >= low && Math.log10(value) <= high);
    };
    return within([1]).length > 1 ? within([1]) : within([1, 2, 5]);
  }

  // Ticks whose words have room beside each other.
  const apart = (ticks) => ticks.reduce((kept, tick) => (kept.length && tick.at - kept.at(-1).at < ROOM ? kept : [...kept, tick]), []);

  const grey = ({ light, dark }) => ({ light: light.none, dark: dark.none });
  const category = ({ light, dark }, at) => ({ light: light.categories[at], dark: dark.categories[at] });

  // By the name that stands in the address; the first is the page's own. Made when first asked for.
  function hues(manifest, classes) {
    const { colours } = manifest.map;
    const { rate, importance } = manifest.experts;
    const ways = {
      title: () => titles(manifest, colours),
      ...(classes ? { shape: () => shapes(manifest, colours, classes) } : {}),
      rate: () => amount("firing rate", rate, colours),
      importance: () => amount("importance", importance, colours),
    };
    const made = new Map();
    return { names: Object.keys(ways), of: (name) => { if (!made.has(name)) made.set(name, ways[name]()); return made.get(name); } };
  }

  atlas.hues = { MARKS, hues };
})();
