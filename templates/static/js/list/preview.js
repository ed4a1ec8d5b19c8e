"use strict";
// The expert in sight: the one that is pointed at, on the map or in the list, else the chosen one, else the first of the list.
(() => {
  const { make, percent, interval, quoting, token, trouble } = atlas.words;
  const { known } = atlas.facts;
  const { route, pointed } = atlas;
  const BRIEF = 60;     // ms: a cloud of what is only passed over is not asked for
  const STRIP = 256;
  const LARGE = 2.2;    // px, a dot's radius
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  class Preview {
    #root; #manifest; #finder; #facts; #parts; #found = null; #row = null; #cloud = null; #waiting = null; #isTurning = false; #room = { width: 0, height: 0 };

    // classes: of shapes, or null.
    constructor(root, manifest, finder, classes) {
      [this.#root, this.#manifest, this.#finder] = [root, manifest, finder];
      this.#facts = new atlas.facts.Facts(manifest, classes);
      this.#parts = Object.fromEntries(Array.from(root.querySelectorAll("[data-part]"), (part) => [part.dataset.part, part]));
      root.hidden = false;
      pointed.changes.addEventListener("change", () => this.#go());
      for (const type of ["pointerenter", "focusin"]) root.addEventListener(type, () => this.#turn());
      atlas.scheme.changes.addEventListener("change", () => this.#paint());
      new ResizeObserver(([{ contentRect }]) => {
        this.#room = contentRect;   // known without asking for a layout
        if (this.#row !== null && !this.#cloud) this.#load(this.#row);
        this.#paint();
      }).observe(this.#parts.picture);
      new ResizeObserver(() => this.#scrollable()).observe(root);
    }

    show(state, found) {
      this.#found = found;
      this.#go(true);
    }

    look() {
      this.#go();
      if (this.#row !== null) this.#lead();
    }

    // In a low window it scrolls, and so can be reached by the keyboard.
    #scrollable() {
      if (this.#root.scrollHeight > this.#root.clientHeight) this.#root.tabIndex = 0; else this.#root.removeAttribute("tabindex");
    }

    // The keyboard or the pointer on what stands here does not change it.
    #wanted() {
      if (pointed.row !== null) return pointed.row;
      const chosen = route.state.at === null ? -1 : this.#finder.row(route.state.at);
      return chosen >= 0 ? chosen : this.#found.rows[0] ?? null;
    }

    // anew: the score that is shown may be another task's.
    #go(anew = false) {
      if (!this.#found) return;
      const row = this.#wanted();
      const isOther = row !== this.#row;
      this.#row = row;
      if (isOther || anew) this.#write();
      if (isOther) this.#fetch();
      else this.#turn();
    }

    // --- words ---

    #write() {
      const row = this.#row;
      this.#root.classList.toggle("nobody", row === null);
      const { link, rests, star, score, figures } = this.#parts;
      if (row === null) {
        for (const part of [rests, star, score, figures]) part.replaceChildren();
        for (const name of ["href", "title"]) link.removeAttribute(name);
        link.replaceChildren("No expert in sight");
        return;
      }
      const facts = this.#facts;
      const expert = facts.expert(row);
      this.#lead();
      link.replaceChildren(make("b", {}, String(expert)), " ", make("span", {}, ...quoting(facts.title(row))));
      link.title = link.textContent;
      const on = facts.rests(row);
      rests.textContent = on ? ` (${on})` : "";
      if (star.firstChild?.dataset.star !== String(expert)) star.replaceChildren(atlas.cards.star(expert));   // it may have the keyboard
      score.replaceChildren(...this.#score(row));
      figures.replaceChildren(...this.#figures(row));
    }

    // The link leads on with what is looked at now.
    #lead() {
      const [before, after] = route.around();
      this.#parts.link.href = `${before}${this.#facts.expert(this.#row)}${after}`;
    }

    #score(row) {
      const best = this.#found.best(row);
      if (this.#facts.of("silent", row)) return [make("p", { class: "none" }, "Never fires on held-out text.")];
      const { lacks } = this.#found.score;
      if (!best) return lacks ? [make("p", { class: "none" }, lacks)] : [];
      const { task, hypothesis } = this.#facts.read(best);
      const of = `${task.title}, ${hypothesis.title}`;
      return [
        make("p", { class: "whose", title: of }, of),
        make("p", { class: "figure" }, `${hypothesis.measure} ${interval(best.value, best.low, best.high)}`),
        atlas.strip({ of, measure: hypothesis.measure, ...best }, hypothesis.references, { width: STRIP, long: true }),
      ];
    }

    #figures(row) {
      const facts = this.#facts;
      const share = (name) => (known(facts.of(name, row)) ? percent(facts.of(name, row)) : "–");
      return [["Firing rate", share("rate")], ["Importance", share("importance")], ["Shape", facts.shape(row) ?? "no claim"]]
        .map(([name, said]) => make("div", {}, make("dt", {}, name), make("dd", {}, said)));
    }

    #context() {
      const context = this.#cloud?.context;
      const { context: part } = this.#parts;
      if (!context?.token) return part.replaceChildren();
      part.replaceChildren(make("span", { class: "before" }, make("bdi", {}, ...token(context.before))), make("mark", {}, ...token(context.token)), make("span", { class: "after" }, make("bdi", {}, ...token(context.after))));
    }

    // --- the cloud ---

    #fetch() {
      clearTimeout(this.#waiting);
      this.#cloud = null;
      const row = this.#row;
      if (row !== null && atlas.payloads.isHere(atlas.cloud.shardOf(this.#manifest, row))) return this.#load(row);
      this.#clear();
      if (row !== null) this.#waiting = setTimeout(() => this.#load(row), BRIEF);
    }

    async #load(row) {
      if (!this.#room.height) return;   // narrow pages have none for it
      try {
        const cloud = await atlas.cloud.small(this.#manifest, row);
        if (row !== this.#row) return;
        this.#cloud = cloud;
        this.#context();
        this.#paint();
        this.#turn();
      } catch (error) { trouble(this.#root.closest("[data-page]"), error.message); }
    }

    #clear() {
      const { cloud } = this.#parts;
      cloud.getContext("2d").clearRect(-cloud.width, -cloud.height, 2 * cloud.width, 2 * cloud.height);
      this.#context();
    }

    #paint(yaw = 0) {
      const { width, height } = this.#room;
      if (!this.#cloud || !height) return;
      atlas.cloud.picture(this.#parts.cloud, this.#cloud, this.#facts.colours(this.#row), yaw, { width: Math.floor(width), height: Math.floor(height), radius: LARGE });
    }

    // It turns while it is pointed at, here or elsewhere, or has the keyboard.
    get #isAttended() { return pointed.row !== null || this.#root.matches(":hover, :focus-within"); }

    #turn() {
      if (this.#isTurning || still.matches || !this.#cloud || this.#cloud.isFlat || !this.#isAttended) return;
      const cloud = this.#cloud;
      this.#isTurning = true;
      atlas.cloud.turn((yaw) => {
        const goes = this.#cloud === cloud && this.#isAttended && !still.matches;
        if (goes) this.#paint(yaw);
        else {
          this.#isTurning = false;
          this.#paint();
          if (this.#cloud !== cloud) this.#turn();
        }
        return goes;
      });
    }
  }

  atlas.preview = { Preview };
})();
