"use strict";
// What a query narrows the list by: for each filter a test of a row, what it is called, and the query without it. Where several
// choices are one filter, each has a chip.
(() => {
  const { array } = atlas.payloads;
  const { percent } = atlas.words;
  const NAMED = 12;   // labels that are filters of their own where all are wanted
  const ACTIVITIES = ["silent", "dense", "neither"];

  const EXACT = 1e-9;   // a share that is written in the address as it is printed still passes itself
  const SINGLE = 1e-6;  // columns are in single precision

  // Whether a value passes bounds; one that is not known passes none, and any passes where there are no bounds.
  function within(bounds) {
    if (!bounds) return () => true;
    const least = bounds.low === null ? -Infinity : bounds.low - Math.abs(bounds.low) * SINGLE;
    const most = bounds.high === null ? Infinity : bounds.high + Math.abs(bounds.high) * SINGLE;
    return (value) => value >= least && value <= most;
  }

  class Filters {
    #manifest; #experts; #finder; #classes; #order; #places = null;

    constructor(manifest, finder, classes) {
      [this.#manifest, this.#experts, this.#finder, this.#classes] = [manifest, manifest.experts, finder, classes];
      this.#order = manifest.tasks.some(({ hypotheses }) => hypotheses.some(({ shape }) => shape === "map")) ? "order or arrangement" : "order";
    }

    // found: gets `lifts`, what each row was found by where labels are asked for.
    of(state, found, score) {
      return [
        ...this.#texts(state, found), ...this.#claims(state, score), ...this.#firing(state, found), ...this.#kinds(state), ...this.#numbers(state, score), ...this.#area(state),
      ];
    }

    #texts({ q }, { matches }) {
      if (!matches) return [];
      const { rank } = matches;
      return [{ facet: "q", text: `“${q.trim()}”`, test: (row) => rank[row] > 0, without: { q: "" } }];
    }

    #claims({ task: name, order, hypothesis, marked }, score) {
      const { orders } = this.#experts;
      const task = this.#finder.task(name);
      const filters = [];
      if (name) {
        const test = task ? (row) => this.#finder.isAbout(row, task.task) : () => false;
        filters.push({ facet: "task", text: task ? `claim about ${task.title}` : `claim about “${name}”, which is no labelled task of this atlas`, test, without: { task: null } });
      }
      if (order) {
        const test = (row) => (task ? orders[row].includes(task.task) : orders[row].length > 0);
        filters.push({ facet: "order", text: `${this.#order} supported`, test, without: { order: false } });
      }
      if (hypothesis) filters.push(this.#read(hypothesis, score));
      if (marked) filters.push({ facet: "marked", text: "bookmarked", test: (row) => atlas.marks.starred.has(this.#experts.expert[row]), without: { marked: false } });
      return filters;
    }

    #read(name, { value }) {
      const asked = this.#finder.hypothesis(name);
      const without = { hypothesis: null };
      if (!asked) return { facet: "hypothesis", text: `“${name}”, which is no hypothesis of this atlas`, test: () => false, without };
      return { facet: "hypothesis", text: `${asked.task.title}, ${asked.title} can be read`, test: (row) => !Number.isNaN(value[row]), without };
    }

    #firing({ label: names, mode, fires: least }, found) {
      if (!names.length) return [];
      const all = mode === "all";
      const chosen = names.map((name) => {
        const label = this.#finder.label(name);
        const text = label ? `fires on ${label.title}` : `fires on “${name}”, which is no label of this atlas`;
        return { name, label, passing: new Uint8Array(this.#finder.all), text: `${text}${least === atlas.route.DEFAULTS.fires ? "" : ` ≥ ${percent(least)}`}` };
      });
      const lifts = { lift: new Float32Array(this.#finder.all), fires: new Float32Array(this.#finder.all), of: new Int32Array(this.#finder.all).fill(-1), chosen };
      chosen.forEach(({ label, passing }, at) => label && this.#finder.firing(label, least, (row, fires, lift) => {
        passing[row] = 1;
        if (lifts.of[row] < 0 || (all ? lift < lifts.lift[row] : lift > lifts.lift[row])) [lifts.lift[row], lifts.fires[row], lifts.of[row]] = [lift, fires, at];
      }));
      found.lifts = lifts;
      const without = (name) => ({ label: names.filter((other) => other !== name) });
      if (all && names.length <= NAMED) return chosen.map(({ name, text, passing }) => ({ facet: "label", text, test: (row) => passing[row] === 1, without: without(name) }));
      const chips = chosen.map(({ name, text }) => ({ text, without: without(name) }));
      const text = chosen.length > 1 ? `fires on ${all ? "all" : "any"} of ${chosen.length} labels` : chosen[0].text;
      const test = all ? (row) => chosen.every(({ passing }) => passing[row] === 1) : (row) => lifts.of[row] >= 0;
      return [{ facet: "label", text, test, without: { label: [] }, chips }];
    }

    // Filters by one of a few kinds: any of those that are chosen.
    #kinds(state) {
      const filters = [];
      const any = (facet, names, told, test) => {
        if (!names.length) return;
        const chips = names.map((name) => ({ text: told(name), without: { [facet]: names.filter((other) => other !== name) } }));
        filters.push({ facet, text: chips.map(({ text }) => text).join(" or "), test, without: { [facet]: [] }, chips });
      };
      const { shape, cluster, activity } = state;
      const known = shape.filter((name) => this.#classes?.names.includes(name));
      const shaped = new Uint8Array(this.#finder.all);
      if (known.length) this.#classes.mask(known, shaped);
      any("shape", shape, (name) => (this.#classes?.names.includes(name) ? `shape ${name}` : `shape “${name}”, which this atlas has not`), (row) => shaped[row] === 1);
      const clusters = new Set(cluster.map(Number));
      any("cluster", cluster, (name) => this.#clusterName(name), (row) => this.#finder.cluster[row] > 0 && clusters.has(this.#finder.cluster[row] - 1));
      const wanted = activity.map((name) => ACTIVITIES.indexOf(name));
      any("activity", activity, (name) => (name === "neither" ? "neither silent nor dense" : ACTIVITIES.includes(name) ? name : `“${name}”, which is no activity`), (row) => wanted.includes(this.#finder.activity(row)));
      return filters;
    }

    #clusterName(number_) {
      const name = this.#manifest.map?.clusters.name[Number(number_)];   // an address may say anything
      return name === undefined ? `cluster ${number_}, which this map has not` : `cluster ${name}`;
    }

    #numbers(state, score) {
      return atlas.route.RANGES.flatMap((key) => {
        const bounds = state[key];
        const amount = this.#finder.amounts.find((one) => one.key === key);
        if (!bounds) return [];
        const values = amount ? this.#finder.values(key, score) : null;
        const passes = within(bounds);
        return [{ facet: key, text: this.#bounded(key, amount, bounds), test: (row) => values !== null && passes(values[row]), without: { [key]: null } }];
      });
    }

    #bounded(key, amount, bounds) {
      const title = amount?.title ?? `${key.replaceAll("_", " ")}, which this atlas has not measured,`;
      return `${title} ${atlas.brush.span(amount ?? { percent: false }, bounds)}`;
    }

    #area({ area }) {
      if (area === null) return [];
      const polygon = this.#manifest.map && atlas.lasso.parse(area);
      const inside = new Uint8Array(this.#finder.all);
      if (polygon) {
        this.#places ??= { x: array(this.#manifest.map.x), y: array(this.#manifest.map.y) };
        atlas.lasso.inside(polygon, this.#places.x, this.#places.y, inside);
      }
      return [{ facet: "area", text: polygon ? "in an area of the map" : "in an area that this map has not", test: (row) => inside[row] === 1, without: { area: null } }];
    }
  }

  atlas.filters = { Filters, ACTIVITIES, EXACT, within };
})();
