"use strict";
// An expert's page: what can be said, on what evidence, and its cloud.
(() => {
  const { make, number, quoting, token } = atlas.words;
  const SPACE = 8;      // px above a section that is led to
  const WIDEST = 560;   // px of a score's strip
  // What sentences say, by the term that defines it.
  const SAID = {
    "R²": "all-row r²", "adjusted p": "adjusted p", "labels left out": "left-out-label r²", "random projections": "best random projection",
    "supported": "order supported", "their lift": "lift of a token", "lift": "lift", "dense": "dense", "of the tokens": "rate", "goes unexplained": "importance",
  };

  class Page {
    #root; #manifest; #opening; #stage; #neighbours; #named = null; #record = null; #evident = null; #shaped = null; #ways;

    constructor(root, manifest) {
      this.#root = root;
      this.#manifest = manifest;
      this.#opening = new atlas.opening.Opening(root);
      this.#stage = new atlas.stage.Stage(this.#part("stage"), manifest, (task) => this.#shape(task));
      this.#neighbours = new atlas.neighbours.Neighbours(this.#part("neighbours"), manifest);
      this.#part("evidence").addEventListener("change", (event) => atlas.route.adjust({ corpus: event.target.value }));
      this.#ways = Array.from(root.querySelectorAll("[data-section]"), (section) => this.#way(section));
      this.#part("ways").append(...this.#ways.map(({ button }) => button));
      for (const button of this.#reaches()) button.addEventListener("click", () => atlas.route.adjust({ reach: button.dataset.reachOf || null }));
    }

    // Its stage, which two experts side by side borrow: there is no other scene but the one beside it.
    get stage() { return this.#stage; }

    async show(state, { arrived, rows }) {
      const row = this.#manifest.experts.expert.indexOf(state.expert);
      if (arrived) { scrollTo(0, 0); this.#part("heading").focus({ preventScroll: true }); }
      this.#steps(row, rows);
      if (state.expert !== this.#named) this.#head(row, state);
      if (row < 0) return this.#opening.none("This atlas has no expert of that number. Choose one from the list of all experts.");
      const isHere = await this.#opening.open(row, () => atlas.records.open(this.#manifest, row), (record) => this.#fill(record));
      if (!isHere) return;
      if (this.#stage.element.parentElement !== this.#part("body")) this.#part("body").prepend(this.#stage.element);
      this.#stage.turnWith(null, "");
      await this.#opening.shown(Promise.all([this.#evidence(state), this.#stage.show(this.#record, state)]));
    }

    leave() { this.#opening.leave(); }

    #part(name) { return this.#root.querySelector(`[data-${name}]`); }

    #head(row, { expert }) {
      const columns = this.#manifest.experts;
      this.#named = expert;
      this.#part("neighbours").closest("section").hidden = true;   // of another expert
      const rests = row < 0 || columns.silent[row] ? [] : [" (", atlas.definitions.term(measured(columns, row), columns.measure[row]), ` ${number(columns.value[row])})`];
      this.#part("places").replaceChildren(...(row < 0 ? [] : this.#places(row)));
      this.#part("heading").replaceChildren(`Expert ${expert}`, ...(row < 0 ? [] : [" · ", make("bdi", {}, ...quoting(columns.title[row])), ...rests]));
    }

    // The pages of what it belongs to: its title's task, and its cluster on the map.
    #places(row) {
      const { experts, map, tasks } = this.#manifest;
      const task = tasks.find(({ task: number_ }) => number_ === experts.title_task[row]);
      const cluster = map ? atlas.payloads.array(map.cluster)[row] - 1 : -1;
      const link = (to, text) => make("a", atlas.route.way(to), ...token(text));
      return [
        ...(task ? ["Task: ", link({ ofTask: task.name }, task.title)] : []), ...(task && cluster >= 0 ? [" · "] : []),
        ...(cluster >= 0 ? ["Cluster: ", link({ ofCluster: cluster }, map.clusters.name[cluster])] : []),
      ];
    }

    // The way on: through the experts that the list shows, in its order.
    #steps(row, rows) {
      const place = rows.indexOf(row);
      for (const link of this.#root.querySelectorAll("[data-step]")) {
        const to = place < 0 ? undefined : this.#manifest.experts.expert[rows[place + Number(link.dataset.step)]];
        link.style.visibility = to === undefined ? "hidden" : "visible";
        if (to === undefined) continue;
        link.href = atlas.route.link({ expert: to });
        link.querySelector("[data-step-number]").textContent = to;
        link.setAttribute("aria-label", `${link.dataset.step < 0 ? "Previous" : "Next"}: expert ${to}`);
      }
    }

    #fill(record) {
      const { data } = record;
      [this.#record, this.#evident, this.#shaped] = [record, null, null];
      this.#part("shape").closest("section").hidden = true;   // of another expert, until the stage says of which source
      this.#part("sayings").replaceChildren(...data.sayings.map((sentence) => make("p", {}, ...atlas.definitions.within(sentence, SAID))));
      this.#section("scores", data.scores.task.length || data.newline.task.length, () => atlas.readings.show(this.#record, Math.min(WIDEST, this.#part("findings").clientWidth)));
      this.#part("corpora").hidden = data.corpora.length < 2;
      this.#part("evidence").replaceChildren(...data.corpora.map(({ task }) => make("option", { value: this.#record.task(task).name }, this.#record.task(task).title)));
      this.#section("importance", data.importance_on?.task.length, () => atlas.geometry.importance(this.#record, data.importance_on));
      this.#section("labels", data.labels.task.length, () => atlas.labels.show(this.#record));
      this.#part("neighbours").closest("section").hidden = false;
      this.#neighbours.show(data.neighbours);
      this.#part("reach").hidden = !("windows/" in this.#manifest.files);
    }

    // What its firings on one corpus show: the one that is asked for, else the first on which it fires.
    #evidence(state) {
      const { corpora } = this.#record.data;
      const shown = corpora.find(({ task }) => this.#record.task(task).name === state.corpus) ?? corpora[0] ?? null;
      const before = this.#evident;
      if (before?.shown !== shown) this.#firings(shown);
      if (before?.shown !== shown || before.reach !== state.reach) {
        const now = this.#evident = { shown, reach: state.reach };
        now.written = this.#contexts(now, before?.shown !== shown);
        now.written.catch(() => { if (now === this.#evident) this.#evident.reach = undefined; });   // to be read again
      }
      this.#lead();
      return this.#evident.written;
    }

    #firings(shown) {
      if (shown) this.#part("evidence").value = this.#record.task(shown.task).name;
      this.#section("tokens", shown?.tokens.text.length, () => atlas.evidence.tokens(this.#record, shown));
      this.#section("norms", shown?.norms.count.length, () => [atlas.evidence.norms(this.#record, shown)]);
      this.#section("positions", shown?.positions?.lower.length, () => atlas.evidence.positions(shown));
      this.#section("needed", shown, () => atlas.geometry.needed(shown.kept));
    }

    // As much of its contexts as is asked for. The stage does not wait for them; until they are here, those of others make way for what is.
    async #contexts(now, isOther) {
      const { shown, reach } = now;
      const isWide = atlas.evidence.REACHES[reach] !== undefined;
      for (const button of this.#reaches()) button.setAttribute("aria-pressed", String(button.dataset.reachOf === (isWide ? reach : "")));
      this.#root.querySelector('[data-section="contexts"]').hidden = !shown?.contexts.length;
      if (!shown?.contexts.length) return;
      const write = (strata, isWhole) => { if (now === this.#evident) this.#part("contexts").replaceChildren(...atlas.evidence.contexts(strata, shown, isWhole)); };
      if (isWide && isOther) write(await atlas.evidence.read(this.#record, shown, null), false);
      write(await atlas.evidence.read(this.#record, shown, reach), isWide);
    }

    #reaches() { return this.#part("reach").querySelectorAll("button"); }

    // A button for each section, of which those are shown whose section is.
    #way(section) {
      const heading = section.querySelector("h3");
      const button = make("button", { type: "button" }, section.dataset.called ?? heading.textContent);
      heading.tabIndex = -1;
      button.addEventListener("click", () => {
        const bar = this.#part("ways");
        section.style.scrollMarginBlockStart = `${getComputedStyle(bar).position === "sticky" ? bar.offsetHeight + SPACE : SPACE}px`;
        section.scrollIntoView();
        heading.focus({ preventScroll: true });
      });
      return { section, button };
    }

    #lead() { for (const { section, button } of this.#ways) button.hidden = section.hidden; }

    #section(name, filled, nodes) {
      this.#root.querySelector(`[data-section="${name}"]`).hidden = !filled;
      if (filled) this.#part(name).replaceChildren(...nodes());
    }

    // The shape of what the scene shows; a labelled task that it hardly fires on has none.
    #shape(number_) {
      if (this.#root.hidden) return;   // the stage is lent
      if (number_ === this.#shaped) return;   // what the reader has opened stays open
      this.#shaped = number_;
      const { shapes } = this.#record.data;
      const others = shapes.filter(({ task }) => task !== number_).map((shape) => ({ name: this.#record.source(shape.task), shape }));
      this.#section("shape", shapes.length, () => atlas.geometry.shape(shapes.find(({ task }) => task === number_), this.#record.source(number_), others));
      this.#lead();
    }
  }

  // The term that defines what a title rests on.
  function measured({ measure, basis }, row) {
    if (measure[row] === "lift") return basis[row] === "tokens" ? "lift of a token" : "lift";
    return measure[row] === "firings" ? "firing" : "all-row r²";
  }

  atlas.expert = { Page };
})();
