"use strict";
// What is shown stands in the address, after the #: reload, Back and a pasted link bring it back.
(() => {
  const DEFAULTS = { expert: null, sort: "importance", colour: null, camera: null };
  const changes = new EventTarget();
  let current = parse(location.hash);

  function parse(hash) {
    const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
    const given = Object.fromEntries(new URLSearchParams(query));
    const expert = /^expert\/(\d+)$/.exec(path);
    const state = { ...DEFAULTS, expert: expert ? Number(expert[1]) : null };
    for (const key of ["sort", "colour", "camera"]) if (given[key]) state[key] = given[key];
    return state;
  }

  function address(state) {
    const query = new URLSearchParams();
    for (const key of ["sort", "colour", "camera"]) {
      if (state[key] !== DEFAULTS[key]) query.set(key, state[key]);
    }
    const path = state.expert === null ? "#/" : `#/expert/${state.expert}`;
    return query.size ? `${path}?${query}` : path;
  }

  // A new page joins the history; a changed setting replaces the page's entry, so that Back leaves the page.
  const link = (changed) => address({ ...current, colour: null, camera: null, ...changed });
  function set(changed) {
    current = { ...current, ...changed };
    history.replaceState(null, "", address(current));
    changes.dispatchEvent(new Event("change"));
  }

  addEventListener("hashchange", () => {
    current = parse(location.hash);
    changes.dispatchEvent(new Event("change"));
  });

  atlas.route = { get state() { return current; }, link, set, changes };
})();
