"use strict";
// Keys for the whole page. One table says what each does: the page acts by it, and the help is written from it.
(() => {
  const { make } = atlas.words;
  const { marks, route } = atlas;
  const NAMES = { ArrowDown: "↓", ArrowUp: "↑", ArrowLeft: "←", ArrowRight: "→", Escape: "Esc" };
  const WRITES = "textarea, select, input:not([type=checkbox], [type=radio], [type=range], [type=button], [type=file])";
  // Whether single letters act is the reader's choice, which storage may refuse to keep.
  const stored = {
    get() { try { return localStorage.getItem("atlas-keys") !== "off"; } catch { return true; } },
    set(isOn) { try { localStorage.setItem("atlas-keys", isOn ? "on" : "off"); } catch { /* it lasts until the page closes */ } },
  };
  let isOn = stored.get();

  // where: the page on which a key acts, null for all; from: what has to have the focus; at: the element that does the same; again: whether
  // it acts while held down.
  const table = (page) => [
    { where: null, keys: ["/"], says: "Search", at: "[data-query]", act: () => page.search() },
    { where: null, from: "[data-query]", keys: ["Enter", "ArrowDown"], says: "From the search to the first expert found", act: () => page.list.enter() },
    { where: null, keys: ["?"], says: "This help", at: '[data-open="help"]', act: () => page.help() },
    { where: null, keys: ["d"], says: "What the number is that has the focus or lies under the pointer", act: () => atlas.definitions.tell() },
    { where: null, keys: ["u"], says: "Back to the list", at: "[data-back]", act: () => page.press("[data-back]") },
    { where: null, keys: ["Escape"], says: "Close what is open; else clear the search; else leave the field; else choose no expert", act: (event) => page.leave(event) },
    { where: "list", keys: ["j", "ArrowRight"], says: "Choose the next expert", again: true, act: () => page.list.move(1) },
    { where: "list", keys: ["k", "ArrowLeft"], says: "Choose the one before", again: true, act: () => page.list.move(-1) },
    { where: "list", keys: ["ArrowDown"], says: "Choose in the row below", again: true, act: () => page.list.move(page.list.columns) },
    { where: "list", keys: ["ArrowUp"], says: "Choose in the row above", again: true, act: () => page.list.move(-page.list.columns) },
    { where: "list", keys: ["Enter"], says: "Open the chosen expert", act: () => page.open() },
    { where: "list", keys: ["b"], says: "Bookmark the chosen expert, or no longer", act: () => page.bookmark() },
    { where: "list", keys: ["n"], says: "Write a note on it", act: () => page.write() },
    { where: "list", keys: ["g"], says: "Gallery or table", act: () => route.adjust({ view: route.state.view === "table" ? "gallery" : "table" }) },
    { where: "list", keys: ["m"], says: "To the map", at: '[data-map-part="canvas"]', act: () => page.map() },
    { where: "list", keys: ["x"], says: "Take back all filters", at: "[data-reset-all]", act: () => atlas.narrowed.reset() },
    { where: "expert", keys: ["["], says: "The expert before, in the list's order", at: '[data-step="-1"]', again: true, act: () => page.press('[data-step="-1"]') },
    { where: "expert", keys: ["]"], says: "The next one", at: '[data-step="1"]', again: true, act: () => page.press('[data-step="1"]') },
    { where: "expert", keys: ["b"], says: "Bookmark the expert, or no longer", act: () => page.bookmark() },
    { where: "expert", keys: ["n"], says: "Write a note on it", act: () => page.write() },
  ];
  const ON_A_CLOUD = atlas.hand.KEYS.map((key) => ({ ...key, where: "scene" }));   // which it acts by itself
  const GROUPS = [[null, "Everywhere"], ["list", "In the list"], ["expert", "On an expert's page"], ["scene", "On a cloud that has the focus"]];

  class Keys {
    #root; #experts; #finder; #help; #table;

    constructor(root, { list, finder, manifest }) {
      this.list = list;
      this.#experts = manifest.experts.expert;
      this.#root = root;
      this.#finder = finder;
      this.#help = root.querySelector("[data-help]");
      this.#table = table(this);
      for (const { at, keys } of this.#table) if (at) for (const element of root.querySelectorAll(at)) element.setAttribute("aria-keyshortcuts", keys.join(" "));
      root.addEventListener("keydown", (event) => this.#pressed(event));
      this.#tell();
    }

    // --- what keys do ---

    search() {
      const field = this.#root.querySelector("[data-query]");
      field.focus();
      field.select();
    }

    help() { this.#help.showModal(); }

    press(selector) {
      const link = [...this.#root.querySelectorAll(`main ${selector}`)].find((one) => one.checkVisibility({ visibilityProperty: true }));
      link?.click();
      return link !== undefined;
    }

    // What is open is closed by the browser.
    leave({ target }) {
      if (target.matches(WRITES)) {
        target.blur();
        if (target.matches("[data-query]")) this.#root.querySelector(`[data-page="${document.body.dataset.page}"] :is([data-gallery], [data-heading])`).focus({ preventScroll: true });
      } else {
        route.adjust({ at: null });
        atlas.pointed.at(null);
      }
    }

    open() {
      const { at } = route.state;
      if (at === null) return false;
      route.set({ expert: at, at: null });
    }

    bookmark() {
      const expert = this.#chosen();
      if (expert === null) return this.#say("No expert is chosen: the key j chooses one.");
      marks.toggle(expert);
      this.#say(marks.has(expert) ? `Expert ${expert} is bookmarked.` : `Expert ${expert} is no longer bookmarked.`);
    }

    write() {
      const expert = this.#chosen();
      if (expert === null) return this.#say("No expert is chosen: the key j chooses one.");
      atlas.bookmarks.write(expert);
    }

    map() {
      const canvas = this.#root.querySelector('[data-map-part="canvas"]');
      if (!canvas) return false;
      if (route.state.folded) route.adjust({ folded: false });
      if (!canvas.checkVisibility()) route.adjust({ tab: "map" });   // it and the list are tabs on a narrow page
      canvas.focus();
    }

    // The expert that a key means: the page's own, the one that the keyboard is at, the chosen one, or the one in sight.
    #chosen() {
      const { expert, at } = route.state;
      if (expert !== null) return this.#finder.row(expert) < 0 ? null : expert;
      const held = document.activeElement.closest("[data-gallery] [data-row]");
      if (held) return this.#experts[held.dataset.row];
      const pointed = atlas.pointed.row === null ? null : this.#experts[atlas.pointed.row];
      return document.activeElement.matches("canvas") ? pointed ?? at : at ?? pointed;
    }

    #say(words) { this.#root.querySelector("[data-keys-say]").textContent = words; }

    // --- which key does it ---

    #pressed(event) {
      const { key, target, repeat } = event;
      const isModified = (event.ctrlKey || event.altKey || event.metaKey) && !event.getModifierState("AltGraph");   // [ and ] need it on many keyboards
      if (event.defaultPrevented || event.isComposing || isModified || this.#root.querySelector('dialog[open], [popover="auto"]:popover-open')) return;
      const page = document.body.dataset.page;
      const found = this.#table.find(({ where, from, keys }) => keys.includes(key) && (where === null || where === page) && (!from || target.matches(from)));
      if (!found || (repeat && !found.again) || !(found.from || this.#isFree(key, target))) return;
      if (found.act(event) !== false) event.preventDefault();
    }

    // Whether a key is not used by what has the focus.
    #isFree(key, target) {
      if (key === "Escape") return true;
      if (target.matches(WRITES) || target.isContentEditable) return false;
      if (key.length === 1) return isOn;
      const isNowhere = target === document.body || target.matches("main, [data-gallery], [data-pane], [data-heading]");
      return isNowhere || (key.startsWith("Arrow") && target.closest("[data-gallery]") !== null && !target.matches("input, canvas"));
    }

    // --- what the help says ---

    #tell() {
      const keyed = (keys) => keys.flatMap((key, at) => [at ? " " : "", make("kbd", {}, NAMES[key] ?? key)]);
      const row = ({ keys, says }) => make("tr", {}, make("td", {}, ...keyed(keys)), make("th", { scope: "row" }, says));
      this.#help.querySelector("[data-keys]").replaceChildren(...GROUPS.map(([where, title]) => make("table", { class: "keys" },
        make("caption", {}, title), make("tbody", {}, ...[...this.#table, ...ON_A_CLOUD].filter((one) => one.where === where).map(row)))));
      const button = this.#root.querySelector('[data-open="help"]');
      button.addEventListener("click", () => this.help());
      button.hidden = false;
      atlas.sheet(this.#help);
      const box = this.#help.querySelector("[data-keys-on]");
      box.checked = isOn;
      box.addEventListener("change", () => {
        isOn = box.checked;
        stored.set(isOn);
      });
    }
  }

  atlas.keys = { listen: (root, page) => new Keys(root, page) };
})();
