"use strict";
// Where everything comes from: written whole by the bake; here its hashes and lines are copied.
(() => {
  class Page {
    #root; #says;

    constructor(root) {
      [this.#root, this.#says] = [root, root.querySelector("[data-copied]")];
      root.addEventListener("click", ({ target }) => {
        const hash = target.closest("[data-copy]");
        if (hash) this.#copy(hash.dataset.copy);
        else if (target.closest("[data-copy-lines]")) this.#copy([...root.querySelectorAll("[data-line]")].map((line) => line.textContent).join("\n"));
      });
    }

    show(_state, { arrived }) {
      this.#says.textContent = "";
      if (arrived) { scrollTo(0, 0); this.#root.querySelector("[data-heading]").focus({ preventScroll: true }); }
    }

    async #copy(text) {
      try {
        await navigator.clipboard.writeText(text);
        this.#says.textContent = `Copied: ${text}`;
      } catch {
        // A page opened from disk may be refused the clipboard, or have none: the text stands here, selected.
        this.#says.textContent = text;
        getSelection().selectAllChildren(this.#says);
      }
    }
  }

  atlas.provenance = { Page };
})();
