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
  const OWN = ["corpus", "colour", "seen", "camera", "pin", "reach"];
  const OWN_LISTS = ["only", "without"];
  const OWN_FLAGS = ["flat", "join"];
  const DEFAULTS = {
    expert: null, beside: null, token: null, ofTask: null, ofCluster: null, prompt: null, about: false, fidelity: false, provenance: false, strange: null,
    q: "", task: null, hypothesis: null, order: false, marked: false, label: [], shape: [], cluster: [], activity: [],
    ...Object.fromEntries(RANGES.map((key) => [key, null])), area: null, mode: "any", fires: 0.5, sort: null,
    view: "gallery", columns: null, map: null, place: null, folded: false, tab: "list", at: null,
    corpus: null, colour: null, seen: null, camera: null, pin: null, reach: null, only: [], without: [], flat: false, join: false, marks: null,
  };
  const PAUSE = 200;   // ms without a change before the address is written: browsers refuse to write it hundreds of times in a row
  const PLACES = { fidelity: "fidelity", provenance: "provenance", about: "about" };
  const NUMBER = "(\\d{1,9})";
  const one = ([, text]) => Number(text);
  // The pages of one thing: where each lies, what an address says of it, and how that is written.
  const PAGES = {
    expert: { at: RegExp(`^expert/${NUMBER}$`), read: one, write: (expert) => `expert/${expert}` },
    beside: { at: RegExp(`^beside/${NUMBER}/${NUMBER}$`), read: ([, left, right]) => [Number(left), Number(right)], write: (pair) => `beside/${pair.join("/")}` },
    token: { at: /^token\/(.+)$/s, read: ([, text]) => decoded(text), write: (token) => `token/${encodeURIComponent(token)}` },
    ofTask: { at: /^task\/(.+)$/s, read: ([, text]) => decoded(text), write: (task) => `task/${encodeURIComponent(task)}` },
    ofCluster: { at: RegExp(`^cluster/${NUMBER}$`), read: one, write: (cluster) => `cluster/${cluster}` },
    prompt: { at: RegExp(`^prompt/${NUMBER}$`), read: one, write: (prompt) => `prompt/${prompt}` },
  };
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
    const found = Object.entries(PAGES).map(([key, { at, read }]) => [key, at.exec(path), read]).find(([, matched]) => matched);
    if (found) state[found[0]] = found[2](found[1]);
    else if (Object.hasOwn(PLACES, path)) state[path] = true;
    else if (path !== "") state.strange = path;
    for (const key of [...TEXTS, "area", "sort", "columns", "map", "place", ...OWN, "marks"]) if (given.get(key)) state[key] = given.get(key);
    if (!state.q.trim()) state.q = "";
    for (const key of RANGES) state[key] = range(given.get(key));
    for (const key of [...LISTS, ...OWN_LISTS]) state[key] = [...new Set(given.getAll(key))];
    for (const key of [...FLAGS, ...OWN_FLAGS, "folded"]) state[key] = given.get(key) === "1";
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
  const OWN_KEYS = [...OWN, ...OWN_LISTS, ...OWN_FLAGS];
  const behind = (text) => (text ? `?${text}` : "");

  function place(state) {
    const page = Object.keys(PAGES).find((key) => state[key] !== null);
    return `#/${page ? PAGES[page].write(state[page]) : Object.keys(PLACES).find((key) => state[key]) ?? ""}`;
  }

  const address = (state) => place(state) + behind(query(state, [...LINKED, ...OWN_KEYS, "marks"]));
  // The list, with what it was left with.
  const NOWHERE = Object.fromEntries([...Object.keys(PAGES), ...Object.keys(PLACES), "strange", ...OWN_KEYS, "marks"].map((key) => [key, DEFAULTS[key]]));
  const plain = (state) => ({ ...state, ...NOWHERE });
  const link = (changed) => address({ ...plain(current), ...changed });
  // Attributes of a link that stays on the page: when the list is another, `follow` has it lead there with that one.
  const way = (changed) => ({ href: link(changed), "data-follows": JSON.stringify(changed) });
  let ways = link({});
  function follow() {
    if (link({}) === ways) return;
    ways = link({});
    for (const one of document.querySelectorAll("[data-follows]")) one.href = link(JSON.parse(one.dataset.follows));
  }
  // Where the experts of the list lie: the address of each is this, around its number.
  const around = () => ["#/expert/", behind(query({ ...current, at: null }, LINKED))];
  // Two states of one finding have the same experts in the same order.
  const finding = (state) => query(state, FOUND);

  function write(how) {
    clearTimeout(writing);
    writing = null;
    if (location.protocol === "about:") return;   // a page that was written into a frame (srcdoc) has no address
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

  atlas.route = { DEFAULTS, RANGES, FOUND, get state() { return current; }, link, way, follow, around, finding, set, adjust, settle, changes };
})();
