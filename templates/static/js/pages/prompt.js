"use strict";
// A prompt's page: which experts fire on its tokens, and why the others are silent.
(() => {
  const { make, count, counted, number, aligned, quoting, say, spelled, token, trouble, whole } = atlas.words;
  const { route } = atlas;
  const [AT_FIRST, LEAST, CELLS] = [60, 12, 6000];   // experts that are shown at first: so many, or as many as make so many cells, but no fewer
  const NEAREST = 5;     // silent experts beside a token
  const ORDERS = {
    tokens: (one, other) => other.fires - one.fires || other.strongest - one.strongest,
    strongest: (one, other) => other.strongest - one.strongest,
    first: (one, other) => one.first - other.first || other.strongest - one.strongest,
    number: () => 0,
  };

  class Page {
    #root; #manifest; #norms; #prompt = null; #number = null; #turn = 0; #order = "tokens"; #withSilent = false; #isWhole = false; #drawn = null;

    constructor(root, manifest) {
      [this.#root, this.#manifest] = [root, manifest];
      this.#norms = new atlas.norms.Norms(this.#part("norms"), manifest, {
        read: (at, position) => this.#read(at, position),
        choose: (position) => route.adjust({ pin: String(position) }),
      });
      this.#part("order").addEventListener("change", ({ target }) => { this.#order = target.value; this.#again(); });
      this.#part("silent").addEventListener("change", ({ target }) => { this.#withSilent = target.checked; this.#again(); });
      this.#part("more").firstElementChild.addEventListener("click", () => { this.#isWhole = true; this.#again(); this.#part("norms").querySelector('[tabindex="0"]').focus({ preventScroll: true }); });
      this.#part("ask").addEventListener("submit", (event) => {
        event.preventDefault();
        const asked = this.#part("asked").value.trim();
        route.adjust({ only: asked === "" ? [] : [asked] });
      });
    }

    async show({ prompt, pin, only }, { arrived }) {
      const told = this.#manifest.prompts[prompt];
      this.#root.querySelector("[data-heading]").replaceChildren(...(told ? ["“", make("bdi", {}, ...token(told.title)), "”"] : [`Prompt ${prompt}`]));
      if (arrived) { scrollTo(0, 0); this.#root.querySelector("[data-heading]").focus({ preventScroll: true }); }
      const turn = ++this.#turn;
      if (prompt !== this.#number) {
        this.#number = null;
        this.#body().hidden = true;
        this.#steps(prompt);
        trouble(this.#root, told ? null : this.#missing(prompt));
        if (!told) return;
        try {
          const read = await atlas.norms.decoded(await atlas.payloads.load(`prompts/${prompt}`));
          if (turn !== this.#turn) return;
          [this.#prompt, this.#number, this.#isWhole] = [read, prompt, false];
        } catch (error) {
          if (turn === this.#turn) trouble(this.#root, error.message);
          return;
        }
        this.#say(told);
      }
      this.#body().hidden = false;
      this.#asked(only[0] ?? null);
      this.#draw();
      this.#token(pin);
    }

    #part(name) { return this.#root.querySelector(`[data-prompt-${name}]`); }

    #body() { return this.#root.querySelector("[data-body]"); }

    #missing(prompt) {
      const all = this.#manifest.prompts.length;
      if (all === 0) return "This atlas has no prompts. `atlas trace --db` adds them.";
      return `This atlas has no prompt ${prompt}: they go from 0 to ${count(all - 1)}, and stand on the page “About”.`;
    }

    // The prompts before and after, where there are any.
    #steps(prompt) {
      for (const link of this.#root.querySelectorAll("[data-prompt-step]")) {
        const to = prompt + Number(link.dataset.promptStep);
        link.hidden = !this.#manifest.prompts[to];
        link.href = route.link({ prompt: to });
        link.title = spelled(this.#manifest.prompts[to]?.title ?? "");
      }
    }

    #say({ title }) {
      const { text, width, experts, special, threshold, windows } = this.#prompt;
      const firing = experts.filter(({ fires }) => fires);
      const all = this.#manifest.experts.expert.length;
      const tokens = width - special.size;
      const each = tokens ? firing.reduce((sum, { fires }) => sum + fires, 0) / tokens : 0;
      this.#part("text").replaceChildren(...text.split("\n").flatMap((line, at) => [...(at ? [document.createElement("br")] : []), make("span", {}, ...whole(line))]));
      this.#part("whole").hidden = text === title;
      this.#part("whole").open = false;
      this.#part("says").textContent = `${count(firing.length)} of ${counted(all, "expert")} ${firing.length === 1 ? "fires" : "fire"} on at least one of its ${counted(tokens, "token")}, ${number(each)} on a token on average. `
        + `An expert fires where the norm of its code is above ${number(threshold)}. ${counted(experts.length - firing.length, "other comes", "others come")} to half of that or more and ${experts.length - firing.length === 1 ? "stays" : "stay"} silent; the rest stay below half on every token.`;
      this.#part("windows").hidden = windows.size === 0;
      this.#part("count").textContent = `(${count(experts.length - firing.length)})`;
    }

    // --- the table ---

    // The lines anew, but where they would be the same: a table that is there keeps the keyboard.
    #draw() {
      const [asked] = route.state.only;
      const drawn = JSON.stringify([this.#number, this.#order, this.#withSilent, this.#isWhole, asked, route.link({ expert: 0 })]);
      if (drawn === this.#drawn) return;
      this.#drawn = drawn;
      const lines = this.#lines(this.#find(asked ?? ""));
      const most = this.#isWhole ? lines.length : Math.max(LEAST, Math.min(AT_FIRST, Math.floor(CELLS / this.#prompt.width)));
      this.#norms.draw(this.#prompt, lines.slice(0, most));
      this.#part("more").hidden = lines.length <= most;
      this.#part("more").firstElementChild.textContent = `Show all ${count(lines.length)} experts`;
    }

    // The experts that fire, and the silent ones below them if they are wanted; the one that is asked for comes first.
    #lines(asked) {
      const shown = this.#prompt.experts.filter((one) => one !== asked && (one.fires || this.#withSilent));
      shown.sort((one, other) => (other.fires > 0) - (one.fires > 0) || ORDERS[this.#order](one, other) || this.#numberOf(one) - this.#numberOf(other));
      return asked ? [asked, ...shown] : shown;
    }

    #again() {
      this.#draw();
      this.#norms.mark(this.#chosen(route.state.pin));
    }

    #numberOf({ row }) { return this.#manifest.experts.expert[row]; }

    #name({ row }) {
      const { expert, title } = this.#manifest.experts;
      return `Expert ${expert[row]}, ${title[row]}`;
    }

    // What a cell holds, in words; null for none.
    #read(at, position) {
      const place = this.#part("read");
      const { special, threshold } = this.#prompt;
      const name = this.#name(this.#prompt.experts[at]);
      const said = special.has(position) ? `${name}: nothing; no expert reads a special token` : `${name}: ${this.#told(at, position)}`;
      place.replaceChildren(...token(said), " · on “", make("bdi", { class: "token" }, ...token(this.#prompt.tokens[position])), `” · threshold ${number(threshold)}`);
      return said;
    }

    #told(at, position) {
      const { norm, share, fires } = this.#prompt;
      const own = share(at, position);
      if (own === 0) return "below half of the threshold: silent";
      const size = `norm ${number(norm(at, position))}, ${number(own)} of the threshold`;
      return fires(at, position) ? `norm ${number(norm(at, position))}, ${number(own)} times the threshold: fires` : `${size}: silent`;
    }

    // --- a token ---

    // The token that is pinned, else the one with the largest norm.
    #chosen(pin) {
      const { width, experts } = this.#prompt;
      const asked = /^\d+$/.test(pin ?? "") ? Number(pin) : -1;
      if (asked >= 0 && asked < width) return asked;
      return experts.reduce((best, one) => (one.strongest > (best?.strongest ?? 0) ? one : best), null)?.most ?? 0;
    }

    #token(pin) {
      const position = this.#chosen(pin);
      const { tokens, special, experts, fires, share } = this.#prompt;
      this.#norms.mark(position);
      this.#part("token").replaceChildren("On “", make("bdi", { class: "token" }, ...token(tokens[position])), "” ", make("span", { class: "amount" }, `token ${position}`));
      const here = experts.toSorted((one, other) => share(other.at, position) - share(one.at, position));
      const firing = here.filter(({ at }) => fires(at, position));
      const near = here.filter(({ at }) => !fires(at, position) && share(at, position) >= 0.5).slice(0, NEAREST);
      const places = [this.#part("firing"), this.#part("near")];
      if (special.has(position)) return places.forEach((place, at) => place.replaceChildren(make("p", { class: "note" }, at ? "" : "A special token, which no expert reads.")));
      places[0].replaceChildren(this.#list(counted(firing.length, "expert fires", "experts fire"), firing, position));
      places[1].replaceChildren(near.length ? this.#list("The nearest that stay silent", near, position) : make("p", { class: "note" }, "No silent expert comes to half of the threshold."));
    }

    #list(caption, experts, position) {
      const { norm, share } = this.#prompt;
      const rows = experts.map((one) => {
        const { expert, title } = this.#manifest.experts;
        const link = make("a", { href: route.link({ expert: expert[one.row] }) }, make("b", {}, String(expert[one.row])), " ", make("bdi", {}, ...quoting(title[one.row])));
        return make("tr", {}, make("th", { scope: "row" }, link), make("td", {}, aligned(norm(one.at, position))), make("td", {}, aligned(share(one.at, position))));
      });
      return make("table", {}, make("caption", {}, caption),
        make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Expert"), make("th", { scope: "col" }, atlas.definitions.term("norm", "Norm")), make("th", { scope: "col" }, atlas.definitions.term("norm in thresholds", "In thresholds")))),
        make("tbody", {}, ...rows));
    }

    // --- an expert ---

    #find(text) {
      const row = /^\d+$/.test(text) ? this.#manifest.experts.expert.indexOf(Number(text)) : -1;
      return row < 0 ? null : this.#prompt.experts.find((one) => one.row === row) ?? null;
    }

    // Why the expert that is asked for fires or does not.
    #asked(text) {
      const field = this.#part("asked");
      if (document.activeElement !== field) field.value = text ?? "";
      const place = this.#part("answer");
      place.replaceChildren(...(text === null ? [] : this.#answer(text)));
    }

    #answer(text) {
      const { expert, title } = this.#manifest.experts;
      const row = /^\d+$/.test(text) ? expert.indexOf(Number(text)) : -1;
      if (row < 0) return [`This atlas has no expert “${text}”; a number from 0 to ${count(expert.length - 1)} is one.`];
      const link = make("a", { href: route.link({ expert: expert[row] }) }, make("b", {}, `Expert ${expert[row]}`));
      const name = [link, ", ", make("bdi", {}, ...quoting(title[row])), ": "];
      const found = this.#find(text);
      if (!found) return [...name, "below half of the threshold on every token, and so silent."];
      const { tokens, width, special, norm, share } = this.#prompt;
      const most = [`norm ${number(norm(found.at, found.most))} on “`, make("bdi", { class: "token" }, ...token(tokens[found.most])), "”"];
      if (found.fires) return [...name, `fires on ${count(found.fires)} of ${counted(width - special.size, "token")}; the largest is `, ...most, `, ${number(share(found.at, found.most))} times the threshold. Its line is the first.`];
      return [...name, "silent: its largest is ", ...most, `, ${number(share(found.at, found.most))} of the threshold. Its line is the first.`];
    }
  }

  atlas.prompt = { Page };
})();
