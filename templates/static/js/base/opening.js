"use strict";
// What a page shows of the one thing that its address names.
(() => {
  // The page's body waits out of sight, its space kept, until the thing is here; what comes when the reader has gone on is let go.
  class Opening {
    #root; #asked = null; #turn = 0;

    constructor(root) { this.#root = root; }

    get #body() { return this.#root.querySelector("[data-body]"); }

    // Whether the thing of this key is here and still asked for. read() brings it, fill(it) writes it into the page: once, until another is asked
    // for. What could not be read is said in place, and read again when it is asked for again.
    async open(key, read, fill) {
      if (this.#asked?.key !== key) {
        const own = this.#asked = { key, isHere: false };
        this.#body.classList.add("waiting");
        this.say(null);
        own.done = this.#bring(own, read, fill);
      }
      const asked = this.#asked;
      try { await asked.done; } catch (error) {
        if (asked === this.#asked) this.none(error.message);
        return false;
      }
      return asked === this.#asked;
    }

    async #bring(own, read, fill) {
      const found = await read();
      if (own !== this.#asked) return;
      this.#body.hidden = false;   // what is written may measure its place
      fill(found);
      own.isHere = true;
      this.#body.classList.remove("waiting");
    }

    // There is nothing to show, and why.
    none(message) {
      this.#asked = null;
      this.#body.hidden = true;
      this.say(message);
    }

    say(message) { atlas.words.trouble(this.#root, message); }

    // The page is left: what is on its way is not for it any more.
    leave() { if (!this.#asked?.isHere) this.#asked = null; }

    // Waits for what shows the thing as it is asked for now, and says what went wrong, or that nothing does any more.
    async shown(doing) {
      const [asked, turn] = [this.#asked, ++this.#turn];
      let message = null;
      try { await doing; } catch (error) { ({ message } = error); }
      if (asked === this.#asked && turn === this.#turn) this.say(message);
    }
  }

  atlas.opening = { Opening };
})();
