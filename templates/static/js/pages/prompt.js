"use strict";
// A prompt.
(() => {
  class Page {
    #root;

    constructor(root) { this.#root = root; }

    show(_state, { arrived }) {
      if (arrived) { scrollTo(0, 0); this.#root.querySelector("[data-heading]").focus({ preventScroll: true }); }
    }
  }

  atlas.prompt = { Page };
})();
