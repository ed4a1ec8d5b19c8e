"use strict";
// The search in the masthead: what is typed goes into the address, and the address into the field.
(() => {
  const { route } = atlas;

  class SearchBox {
    #field; #waiting = null; #isComposing = false;

    constructor(root) {
      this.#field = root.querySelector("[data-query]");
      root.querySelector("[data-search]").hidden = false;
      // Letters that come while the page is still busy with the one before are one search.
      this.#field.addEventListener("input", (event) => {
        clearTimeout(this.#waiting);
        this.#waiting = event.isComposing ? null : setTimeout(() => this.#search());
      });
      this.#field.addEventListener("compositionstart", () => { this.#isComposing = true; });
      this.#field.addEventListener("compositionend", () => {
        this.#isComposing = false;
        this.#search();
      });
      this.#field.addEventListener("keydown", (event) => {
        if (event.isComposing) return;
        if (event.key === "Enter" || event.key === "ArrowDown") this.#search();   // on the way to what is found: keys.js
        if (event.key !== "Escape" || !this.#field.value) return;
        event.preventDefault();
        this.#field.value = "";
        this.#search();
      });
    }

    show({ q }) { if (this.#waiting === null && !this.#isComposing && q.trim() !== this.#field.value.trim()) this.#field.value = q; }

    #search() {
      clearTimeout(this.#waiting);
      this.#waiting = null;
      const { q, expert, token, about, fidelity, provenance } = route.state;
      const onList = expert === null && token === null && !about && !fidelity && !provenance;
      if (this.#field.value !== q || !onList) route.set({ q: this.#field.value }, "q");
    }
  }

  atlas.searchbox = { SearchBox };
})();
