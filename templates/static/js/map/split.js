"use strict";
// The line between map and list: how much of the window's height the map has is the reader's choice.
(() => {
  const OWN = 45;                 // percent of the room that map and list share
  const [LEAST, MOST] = [30, 75];
  const STEP = 5;
  const KEYS = { ArrowUp: (share) => share - STEP, ArrowDown: (share) => share + STEP, Home: () => LEAST, End: () => MOST };
  const stored = {
    // As in scheme.js: storage may be missing or forbidden, and a preference is not worth an error.
    get() { try { return Number.parseInt(localStorage.getItem("atlas-map-share"), 10); } catch { return NaN; } },
    set(value) { try { localStorage.setItem("atlas-map-share", value); } catch { /* it lasts until the page closes */ } },
  };

  class Split {
    #separator; #map; #share; #from = null;

    constructor(separator, map) {
      [this.#separator, this.#map] = [separator, map];
      separator.setAttribute("aria-valuemin", LEAST);
      separator.setAttribute("aria-valuemax", MOST);
      separator.addEventListener("keydown", (event) => this.#key(event));
      separator.addEventListener("dblclick", () => this.#keep(OWN));
      separator.addEventListener("pointerdown", (event) => this.#grip(event));
      separator.addEventListener("pointermove", ({ clientY }) => { if (this.#from) this.#set(this.#from.share * (1 + (clientY - this.#from.y) / this.#from.height)); });
      for (const type of ["pointerup", "pointercancel"]) separator.addEventListener(type, () => this.#drop());
      this.#set(stored.get() || OWN);
    }

    // Where there is no map there is nothing to part.
    show(isShown) { this.#separator.hidden = !isShown; }

    #set(share) {
      this.#share = Math.round(Math.max(LEAST, Math.min(MOST, share)));
      this.#map.style.setProperty("--share", this.#share);
      this.#separator.setAttribute("aria-valuenow", this.#share);
      this.#separator.setAttribute("aria-valuetext", `${this.#share}\u202f% of the height`);
    }

    #keep(share) {
      this.#set(share);
      stored.set(this.#share);
    }

    #key(event) {
      if (!(event.key in KEYS) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.#keep(KEYS[event.key](this.#share));
    }

    #grip(event) {
      if (event.button !== 0) return;
      this.#separator.setPointerCapture(event.pointerId);
      this.#from = { y: event.clientY, share: this.#share, height: this.#map.offsetHeight };
    }

    #drop() {
      if (this.#from) this.#keep(this.#share);
      this.#from = null;
    }
  }

  atlas.split = { Split };
})();
