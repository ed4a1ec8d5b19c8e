"use strict";
// What is shown stands in the address, after the #: reload, Back and a pasted link bring it back.
(() => {
  const TEXTS = ["q", "task", "mode", "sort", "map", "corpus", "colour", "camera"];
  const SHARES = ["fires", "score", "importance", "rate_min", "rate_max"];
  const LISTS = ["label", "shape"];
  const FLAGS = ["order", "folded"];
  const DEFAULTS = {
    expert: null, fidelity: false, strange: null, label: [], shape: [], order: false,
    q: "", task: null, mode: "any", sort: null, map: null, folded: false, corpus: null, colour: null, camera: null,
    fires: 0.5, score: null, importance: null, rate_min: null, rate_max: null,
  };
  const changes = new EventTarget();
  let current = parse(location.hash);
  let control = null;   // what made the newest entry of the history

  function parse(hash) {
    const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
    const given = new URLSearchParams(query);
    const expert = /^expert\/(\d+)$/.exec(path);
    const fidelity = path === "fidelity";
    const state = { ...DEFAULTS, expert: expert ? Number(expert[1]) : null, fidelity, strange: expert || fidelity || path === "" ? null : path };
    for (const key of TEXTS) if (given.get(key)) state[key] = given.get(key);
    for (const key of SHARES) {
      const share = Number.parseFloat(given.get(key));
      if (share >= 0 && share <= 1) state[key] = share;
    }
    if (state.fires === 0) state.fires = DEFAULTS.fires;   // on no row is no firing
    for (const key of LISTS) state[key] = [...new Set(given.getAll(key))];
    for (const key of FLAGS) state[key] = given.get(key) === "1";
    if (state.mode !== "all") state.mode = "any";
    return state;
  }

  function query(state) {
    const written = new URLSearchParams();
    for (const key of ["q", "task"]) if (state[key]) written.set(key, state[key]);
    if (state.order) written.set("order", "1");
    for (const key of LISTS) for (const value of state[key]) written.append(key, value);
    for (const key of ["mode", ...SHARES, "sort", "map"]) {
      if (state[key] !== DEFAULTS[key] && state[key] !== null) written.set(key, state[key]);
    }
    if (state.folded) written.set("folded", "1");
    for (const key of ["corpus", "colour", "camera"]) if (state[key] !== null) written.set(key, state[key]);
    // Both are plain after a #, and a label's name reads better so.
    return written.size ? `?${written.toString().replaceAll("%3A", ":").replaceAll("%2C", ",")}` : "";
  }

  const place = ({ expert, fidelity }) => (fidelity ? "#/fidelity" : expert === null ? "#/" : `#/expert/${expert}`);
  const address = (state) => place(state) + query(state);
  const plain = (state) => ({ ...state, fidelity: false, strange: null, corpus: null, colour: null, camera: null });
  const link = (changed) => address({ ...plain(current), ...changed });
  // Where the experts of the list lie: the address of each is this, around its number.
  const around = () => ["#/expert/", query(plain(current))];

  function go(state, write) {
    current = state;
    history[write](null, "", address(current));
    changes.dispatchEvent(new Event("change"));
  }

  // Another view, which Back leaves again. What one control does in a row (typing, dragging) is one view.
  function set(changed, by = null) {
    const again = by !== null && by === control;
    control = by;
    go({ ...plain(current), ...changed }, again ? "replaceState" : "pushState");
  }

  // The same view, seen otherwise.
  const adjust = (changed) => go({ ...current, ...changed }, "replaceState");

  addEventListener("hashchange", () => {
    current = parse(location.hash);
    control = null;
    changes.dispatchEvent(new Event("change"));
  });

  atlas.route = { DEFAULTS, get state() { return current; }, link, around, set, adjust, changes };
})();
