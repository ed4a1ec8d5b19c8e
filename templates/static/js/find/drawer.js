"use strict";
// Where the page is narrow, the filters lie in a drawer that comes from below: a dialog, so that the keyboard stays in it.
(() => {
  const { route } = atlas;
  const NARROW = matchMedia("(max-width: 1079px)");

  class Drawer {
    #box; #form;

    constructor(root, form) {
      this.#form = form;
      this.#box = root.querySelector("[data-drawer-box]");
      root.querySelector("[data-drawer]").addEventListener("click", () => this.#box.showModal());
      atlas.sheet(this.#box);
      NARROW.addEventListener("change", () => this.#fit());
      // Back may lead to a page that it is no part of.
      route.changes.addEventListener("change", () => {
        const { expert, token, about, fidelity, provenance } = route.state;
        if (expert !== null || token !== null || about || fidelity || provenance) this.#box.close();
      });
      this.#fit();
    }

    #fit() {
      this.#box.close();
      if (NARROW.matches) this.#box.append(this.#form); else this.#box.before(this.#form);
    }
  }

  atlas.drawer = { Drawer };
})();
