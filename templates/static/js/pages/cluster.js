"use strict";
// A cluster.
(() => {
  class Page {
    #root;

    constructor(root) { this.#root = root; }

    show(_state, { arrived }) {
      if (arrived) { scrollTo(0, 0); this.#root.querySelector("[data-heading]").focus({ preventScroll: true }); }
    }
  }

  atlas.cluster = { Page };
})();
