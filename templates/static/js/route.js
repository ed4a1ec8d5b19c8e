"use strict";
// What is shown stands in the address, after the #: reload, Back and a pasted link bring it back.
(() => {
  // Which experts are found, and in which order.
  const TEXTS = ["q", "task", "hypothesis"];
  const FLAGS = ["order", "marked"];
  const LISTS = ["label", "shape", "cluster", "activity"];
  const RANGES = ["score", "coverage", "importance", "rate", "mean_norm", "effective_dimension", "dimensions_needed"];
  const ASKED = ["area", "mode", "fires", "sort"];
  // How they are looked at.
  const LOOKS = ["view", "columns", "map", "place", "folded", "tab", "at"];
  // What only one page has.
  const OWN = ["corpus", "colour", "camera"];
  const DEFAULTS = {
    expert: null, token: null, about: false, fidelity: false, strange: null,
    q: "", task: null, hypothesis: null, order: false, marked: false, label: [], shape: [], cluster: [], activity: [],
    ...Object.fromEntries(RANGES.map((key) => [key, null])), area: null, mode: "any", fires: 0.5, sort: null,
    view: "gallery", columns: null, map: null, place: null, folded: false, tab: "list", at: null,
    corpus: null, colour: null, camera: null, marks: null,
  };
  const PAUSE = 200;   // ms without a change before the address is written: browsers refuse to write it hundreds of times in a row
  const PLACES = { fidelity: "fidelity", about: "about" };
  const changes = new EventTarget();
  let current = parse(location.hash);
  let control = null;    // what made the newest entry of the history
  let writing = null;
  let stands = location.hash;   // in the address, as far as it is known here

  // "0.1..0.5", "0.1..", "..0.5", or "0.1" for a least value ► { low, high }, null where there is no bound.
  function range(text) {
    const [low, high = ""] = (text ?? "").split("..");
    const bound = (written) => { const value = Number(written); return written.trim() === "" || !Number.isFinite(value) ? null : value; };
    const read = { low: bound(low), high: bound(high) };
    if (read.low !== null && read.high !== null && read.low > read.high) [read.low, read.high] = [read.high, read.low];
    return read.low === null && read.high === null ? null : read;
  }

  const ranged = ({ low, high }) => `${low ?? ""}..${high ?? ""}`;

  function parse(hash) {
    const [path, query = ""] = split(hash.replace(/^#\/?/, ""), "?");
    const given = new URLSearchParams(query);
    const state = { ...DEFAULTS };
    const expert = /^expert\/(\d{1,9})$/.exec(path);
    const token = /^token\/(.+)$/s.exec(path);
    if (expert) state.expert = Number(expert[1]);
    else if (token) state.token = decoded(token[1]);
    else if (Object.hasOwn(PLACES, path)) state[path] = true;
    else if (path !== "") state.strange = path;
    for (const key of [...TEXTS, "area", "sort", "columns", "map", "place", ...OWN, "marks"]) if (given.get(key)) state[key] = given.get(key);
    if (!state.q.trim()) state.q = "";
    for (const key of RANGES) state[key] = range(given.get(key));
    for (const key of LISTS) state[key] = [...new Set(given.getAll(key))];
    for (const key of [...FLAGS, "folded"]) state[key] = given.get(key) === "1";
    if (given.get("mode") === "all") state.mode = "all";
    if (given.get("view") === "table") state.view = "table";
    if (given.get("tab") === "map") state.tab = "map";
    const fires = Number.parseFloat(given.get("fires"));
    if (fires > 0 && fires <= 1) state.fires = fires;   // on no row is no firing
    if (/^\d+$/.test(given.get("at") ?? "")) state.at = Number(given.get("at"));
    return state;
  }

  function split(text, by) {
    const cut = text.indexOf(by);
    return cut < 0 ? [text] : [text.slice(0, cut), text.slice(cut + 1)];
  }

  // A pasted address may hold a % that encodes nothing.
  function decoded(text) { try { return decodeURIComponent(text); } catch { return text; } }

  function query(state, keys) {
    const written = new URLSearchParams();
    for (const key of keys) {
      const value = state[key];
      if (Array.isArray(value)) for (const one of value) written.append(key, one);
      else if (value === DEFAULTS[key] || value === null) continue;
      else if (value === true) written.set(key, "1");
      else written.set(key, RANGES.includes(key) ? ranged(value) : value);
    }
    // These are plain after a #, and names read better so.
    return written.toString().replaceAll("%3A", ":").replaceAll("%2C", ",");
  }

  const FOUND = [...TEXTS, ...FLAGS, ...LISTS, ...RANGES, ...ASKED];
  const LINKED = [...FOUND, ...LOOKS];
  const behind = (text) => (text ? `?${text}` : "");

  function place(state) {
    if (state.expert !== null) return `#/expert/${state.expert}`;
    if (state.token !== null) return `#/token/${encodeURIComponent(state.token)}`;
    return `#/${Object.keys(PLACES).find((key) => state[key]) ?? ""}`;
  }

  const address = (state) => place(state) + behind(query(state, [...LINKED, ...OWN, "marks"]));
  // The list, with what it was left with.
  const plain = (state) => ({ ...state, expert: null, token: null, about: false, fidelity: false, strange: null, corpus: null, colour: null, camera: null, marks: null });
  const link = (changed) => address({ ...plain(current), ...changed });
  // Where the experts of the list lie: the address of each is this, around its number.
  const around = () => ["#/expert/", behind(query({ ...current, at: null }, LINKED))];
  // Two states of one finding have the same experts in the same order.
  const finding = (state) => query(state, FOUND);

  function write(how) {
    clearTimeout(writing);
    writing = null;
    if (how === "replaceState" && location.hash !== stands) return;   // another was pasted, and its hashchange is on the way
    history[how](null, "", address(current));
    stands = location.hash;
  }

  const settle = () => { if (writing !== null) write("replaceState"); };

  function go(state, how) {
    if (how === "pushState") settle();
    current = state;
    if (how === "pushState") write(how);
    else {
      clearTimeout(writing);
      writing = setTimeout(() => write("replaceState"), PAUSE);
    }
    changes.dispatchEvent(new Event("change"));
  }

  // Another view of the list, or another page, which Back leaves again. What one control does in a row (typing, dragging) is one view.
  function set(changed, by = null) {
    const again = by !== null && by === control;
    control = by;
    go({ ...plain(current), ...changed }, again ? "replaceState" : "pushState");
  }

  // The same view, seen otherwise.
  const adjust = (changed) => go({ ...current, ...changed }, "replaceState");

  addEventListener("pagehide", settle);
  document.addEventListener("click", ({ target }) => { if (target.closest?.("a[href]")) settle(); }, true);
  addEventListener("hashchange", () => {
    clearTimeout(writing);
    writing = null;
    stands = location.hash;
    current = parse(stands);
    control = null;
    changes.dispatchEvent(new Event("change"));
  });

  atlas.route = { DEFAULTS, RANGES, FOUND, get state() { return current; }, link, around, finding, set, adjust, settle, changes };
})();
