"use strict";
// Light or dark: the reader's choice if there is one, else the system's.
globalThis.atlas = {};
(() => {
  const stored = {
    // Storage may be missing or forbidden on a page opened from disk; a preference is not worth an error.
    get() { try { return localStorage.getItem("atlas-scheme"); } catch { return null; } },
    set(value) { try { localStorage.setItem("atlas-scheme", value); } catch { /* it lasts until the page closes */ } },
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const changes = new EventTarget();
  let chosen = ["light", "dark"].includes(stored.get()) ? stored.get() : null;

  const name = () => chosen ?? (dark.matches ? "dark" : "light");
  const apply = () => { document.documentElement.dataset.scheme = name(); changes.dispatchEvent(new Event("change")); };

  function toggle() {
    chosen = name() === "dark" ? "light" : "dark";
    stored.set(chosen);
    apply();
  }

  dark.addEventListener("change", apply);
  apply();
  atlas.scheme = { name, toggle, changes };
})();
