"use strict";
// Bookmarks and notes as the reader meets them: the panel, an expert's own star and note, and the bar of a link that brings some.
(() => {
  const { make, count, quoting, say, spelled } = atlas.words;
  const { marks, route } = atlas;
  const PAUSE = 300;   // ms after the last letter
  const AT_FIRST = 200;   // rows of the panel
  const LONG = 2000;   // characters of a link; some programs cut longer ones
  const LARGEST = 5_000_000;   // bytes of a file
  const unsaved = new Set();

  const several = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;

  function star(expert, words = "") {
    const made = make("button", { type: "button", class: "own-star", "aria-label": `Bookmark expert ${expert}` }, make("span", { "aria-hidden": "true" }), words);
    made.addEventListener("click", () => marks.toggle(expert));
    return made;
  }

  function pressed(button, isStarred) {
    button.setAttribute("aria-pressed", isStarred);
    button.firstElementChild.textContent = isStarred ? "★" : "☆";
  }

  // A field for an expert's note, saved as it is typed.
  class Note {
    #seen; #timer = null; #said;

    constructor(expert) {
      this.expert = expert;
      this.#seen = marks.note(expert);
      this.field = make("textarea", { "aria-label": `Note on expert ${expert}`, placeholder: "Note", rows: 1, maxlength: marks.LONGEST, dir: "auto", spellcheck: "false" });
      this.field.value = this.#seen;
      this.#said = make("p", { class: "trouble", role: "alert", hidden: "" });
      this.element = make("div", { class: "note-field" }, this.field, this.#said);
      this.field.addEventListener("input", () => {
        unsaved.add(this);
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.save(), PAUSE);
      });
      this.field.addEventListener("blur", () => this.save());
    }

    save() {
      clearTimeout(this.#timer);
      if (!unsaved.delete(this)) return;
      try {
        marks.write(this.expert, this.field.value, this.#seen);
        this.#say("");
        this.show();
      } catch (error) {
        unsaved.add(this);   // what was typed stays
        this.#say(error.message);
      }
    }

    // What another tab or an import has written; not while something typed here is still to be saved.
    show() {
      if (unsaved.has(this)) return;
      this.#seen = marks.note(this.expert);
      if (this.field.value !== this.#seen) this.field.value = this.#seen;
    }

    #say(message) {
      say(this.#said, message);
      this.#said.hidden = message === "";
    }
  }

  const saveAll = () => { for (const note of [...unsaved]) note.save(); };
  addEventListener("pagehide", saveAll);
  document.addEventListener("visibilitychange", () => { if (document.hidden) saveAll(); });

  class Panel {
    #dialog; #titles; #finder; #listed = new Set(); #rows = new Map(); #most = AT_FIRST; #asked = null; #removed = new Map();

    constructor(dialog, { experts }, finder) {
      this.#dialog = dialog;
      this.#titles = experts.title;
      this.#finder = finder;
      const ways = { show: () => this.#show(), copy: () => this.#copy(), export: () => this.#export(), import: () => this.#part("file").click() };
      for (const button of dialog.querySelectorAll("[data-marks-do]")) button.addEventListener("click", ways[button.dataset.marksDo]);
      atlas.sheet(dialog);
      dialog.addEventListener("close", saveAll);
      dialog.addEventListener("click", ({ target }) => { if (target.closest("a[href]")) dialog.close(); });
      this.#part("file").addEventListener("change", () => this.#import());
      this.#part("more").firstElementChild.addEventListener("click", () => { this.#most = Infinity; this.#draw(); });
      marks.changes.addEventListener("change", () => { if (dialog.open) this.#draw(); });
    }

    // With the note of an expert to write, which need not be marked yet.
    open(expert = null) {
      if (!this.#dialog.open) {
        this.#listed.clear();
        this.#rows.clear();
        this.#removed.clear();
        this.#most = AT_FIRST;
        this.#say("");
        this.#part("link").hidden = true;
        this.#dialog.showModal();
      }
      if (expert !== null) this.#listed.add(expert);
      this.#asked = expert;
      this.#draw();
      if (expert !== null) this.#rows.get(expert).note.field.focus();
    }

    #part(name) { return this.#dialog.querySelector(`[data-marks-${name}]`); }

    #say(...words) { say(this.#part("news"), ...words); }

    // A row once shown stays until the panel is closed: what was removed can be taken back.
    #draw() {
      const all = marks.all();
      for (const { expert } of all) this.#listed.add(expert);
      const order = [...this.#listed].sort((one, other) => one - other);
      const shown = order.filter((expert, at) => at < this.#most || expert === this.#asked);
      for (const expert of shown) if (!this.#rows.has(expert)) this.#rows.set(expert, this.#made(expert));
      const list = this.#part("list");
      const items = shown.map((expert) => this.#rows.get(expert).item);
      if (items.length !== list.children.length || items.some((item, at) => item !== list.children[at])) list.replaceChildren(...items);
      for (const expert of shown) this.#fresh(expert);
      this.#part("more").hidden = shown.length === order.length;
      this.#part("more").firstElementChild.textContent = `Show all ${count(order.length)}`;
      this.#part("none").hidden = order.length > 0;
      atlas.words.trouble(this.#dialog, marks.trouble);
      for (const button of this.#dialog.querySelectorAll("[data-marks-do]")) {
        const needs = { show: marks.size, copy: all.length, export: all.length }[button.dataset.marksDo];
        button.disabled = needs === 0;
      }
    }

    #made(expert) {
      const note = new Note(expert);
      const remove = make("button", { type: "button", class: "quiet", "aria-label": `Remove expert ${expert}` }, "Remove");
      const undo = make("button", { type: "button", class: "quiet" }, "Undo");
      const gone = make("p", { class: "note", hidden: "" }, `Expert ${expert} removed. `, undo);
      const link = make("a", {}, make("b", {}, String(expert)), " ", ...quoting(this.#titles[this.#finder.row(expert)]));
      const there = make("div", { class: "bookmark" }, star(expert), link, remove, note.element);
      const made = { item: make("li", {}, there, gone), note, link, there, gone };
      remove.addEventListener("click", () => {
        note.save();
        this.#removed.set(expert, marks.get(expert));
        marks.put(expert, null);
        this.#draw();
        undo.focus();
      });
      undo.addEventListener("click", () => {
        marks.put(expert, this.#removed.get(expert));
        this.#removed.delete(expert);
        this.#draw();
        remove.focus();
      });
      return made;
    }

    #fresh(expert) {
      const { note, link, there, gone } = this.#rows.get(expert);
      if (marks.get(expert)) this.#removed.delete(expert);   // it came back by another way
      const isGone = this.#removed.has(expert);
      there.hidden = isGone;
      gone.hidden = !isGone;
      link.href = route.link({ expert });
      pressed(there.querySelector(".own-star"), marks.has(expert));
      note.show();
    }

    #show() {
      this.#dialog.close();
      route.set({ ...route.DEFAULTS, sort: route.state.sort, view: route.state.view, marked: true });
    }

    async #copy() {
      saveAll();
      const address = new URL(route.link({ ...route.DEFAULTS, marks: marks.link() }), location.href).href;
      const long = address.length > LONG ? ` It has ${count(address.length)} characters; programs that cut long links need the exported file instead.` : "";
      const field = this.#part("link");
      field.hidden = true;
      try {
        await navigator.clipboard.writeText(address);
        this.#say(`The link is copied.${long}`);
      } catch {
        // A page opened from disk may be refused the clipboard, or have none.
        field.hidden = false;
        field.querySelector("input").value = address;
        field.querySelector("input").select();
        this.#say(`This browser does not let the page copy it.${long}`);
      }
    }

    #export() {
      saveAll();
      const url = URL.createObjectURL(new Blob([marks.text()], { type: "application/json" }));
      make("a", { href: url, download: "bookmarks.json" }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);   // by then it is saved
    }

    async #import() {
      const input = this.#part("file");
      const [file] = input.files;
      if (!file) return;
      try {
        if (file.size > LARGEST) throw new Error("The file is larger than 5 MB: it holds no bookmarks that were exported here.");
        saveAll();
        this.#say(told(marks.merge(marks.read(await file.text()))));
      } catch (error) { this.#say(error.message); }
      input.value = "";   // the same file may be chosen again
    }
  }

  function told({ added, joined }) {
    if (!added && !joined) return "Nothing new: all of them were here already.";
    return [added ? `${several(added, "expert")} added` : "", joined ? `${several(joined, "expert")} joined with what was here` : ""].filter(Boolean).join(", ").concat(".");
  }

  // Star and note on an expert's own page.
  class Own {
    #place; #finder; #expert = null; #star; #note; #write;

    constructor(place, finder) {
      this.#place = place;
      this.#finder = finder;
      marks.changes.addEventListener("change", () => this.#fresh());
    }

    show({ expert }) {
      if (expert === this.#expert) return;
      saveAll();
      this.#expert = expert;
      this.#place.hidden = expert === null || this.#finder.row(expert) < 0;
      if (this.#place.hidden) return this.#place.replaceChildren();
      this.#star = star(expert, " Bookmark");
      this.#note = new Note(expert);
      this.#write = make("button", { type: "button", "aria-keyshortcuts": "n" }, "Write a note");
      this.#write.addEventListener("click", () => this.focus());
      this.#star.setAttribute("aria-keyshortcuts", "b");
      this.#place.replaceChildren(this.#star, this.#write, this.#note.element);
      this.#note.field.addEventListener("blur", () => this.#fresh());
      this.#fresh();
    }

    focus() {
      this.#note.element.hidden = false;
      this.#write.hidden = true;
      this.#note.field.focus();
    }

    #fresh() {
      if (this.#place.hidden || this.#expert === null) return;
      pressed(this.#star, marks.has(this.#expert));
      this.#note.show();
      const isOpen = this.#note.field.value !== "" || this.#note.element.contains(document.activeElement) || !this.#note.element.querySelector("p").hidden;
      this.#note.element.hidden = !isOpen;
      this.#write.hidden = isOpen;
    }
  }

  // What a link brings is shown and counted; nothing of it is kept unless the reader says so.
  class Brought {
    #bar; #text = null; #marks = null; #isLent = false;

    constructor(bar) {
      this.#bar = bar;
      const ways = { keep: () => this.#keep(), show: () => this.#only(), dismiss: () => this.#dismiss() };
      for (const button of bar.querySelectorAll("[data-brought-do]")) button.addEventListener("click", ways[button.dataset.broughtDo]);
    }

    show({ marks: text, marked }) {
      if (text !== null && text !== this.#text) this.#read(text);
      const isLent = this.#marks !== null && marked && (this.#isLent || text !== null);
      if (isLent !== this.#isLent) {
        this.#isLent = isLent;
        marks.lend(isLent ? this.#marks.map(({ expert }) => expert) : null);
      }
      if (this.#marks) this.#draw();
    }

    #read(text) {
      this.#text = text;
      if (this.#isLent) { this.#isLent = false; marks.lend(null); }   // those of a link before
      try { this.#marks = marks.linked(text); } catch (error) {
        this.#marks = null;
        this.#say(error.message, ["dismiss"]);
      }
    }

    #draw() {
      const stars = this.#marks.filter(({ starred }) => starred).length;
      const notes = this.#marks.filter(({ note }) => note).length;
      const what = [stars ? several(stars, "bookmark") : "", notes ? several(notes, "note") : ""].filter(Boolean).join(" and ");
      this.#say(`This link brings ${what}${this.#isLent ? "; the list shows only these" : ""}.`, this.#isLent ? ["keep", "dismiss"] : ["keep", "show", "dismiss"]);
    }

    #say(words, ways) {
      this.#bar.hidden = false;
      const says = this.#bar.querySelector("[data-brought-says]");
      if (says.textContent !== spelled(words)) say(says, words);
      for (const button of this.#bar.querySelectorAll("[data-brought-do]")) button.hidden = !ways.includes(button.dataset.broughtDo);
    }

    #keep() {
      try {
        const news = told(marks.merge(this.#marks));
        this.#marks = null;
        this.#say(news, ["dismiss"]);
        if (this.#isLent) { this.#isLent = false; marks.lend(null); }
        this.#bar.querySelector('[data-brought-do="dismiss"]').focus();   // the button that was pressed is gone
        route.adjust({ marks: null });
      } catch (error) { this.#say(error.message, ["dismiss"]); }
    }

    #only() { route.set({ ...route.DEFAULTS, sort: route.state.sort, view: route.state.view, marked: true, marks: this.#text }, "brought"); }

    #dismiss() {
      this.#bar.hidden = true;
      this.#text = null;   // opened again, it asks again
      const wasLent = this.#isLent;
      this.#marks = null;
      route.adjust({ marks: null, ...(wasLent ? { marked: false } : {}) });
    }
  }

  class Bookmarks {
    #panel; #own;

    // Marks are open before.
    constructor(root, manifest, finder) {
      this.#panel = new Panel(root.querySelector("[data-marks]"), manifest, finder);
      this.#own = new Own(root.querySelector("[data-mark]"), finder);
      const brought = new Brought(root.querySelector("[data-brought]"));
      const button = root.querySelector('[data-open="marks"]');
      const amount = () => { root.querySelector("[data-marks-amount]").textContent = marks.size ? `· ${count(marks.size)}` : ""; };
      button.addEventListener("click", () => this.#panel.open());
      button.hidden = false;
      marks.changes.addEventListener("change", amount);
      amount();
      const show = () => {
        this.#own.show(route.state);
        brought.show(route.state);
      };
      route.changes.addEventListener("change", show);
      show();
      atlas.bookmarks.write = (expert) => this.#write(expert);
    }

    // To the note of an expert: on its page there, else in the panel.
    #write(expert) { if (route.state.expert === expert) this.#own.focus(); else this.#panel.open(expert); }
  }

  atlas.bookmarks = { Bookmarks };
})();
