"use strict";
// Bookmarks and notes: kept by this browser alone, by one key for each expert, so that two tabs never write over each other; carried
// elsewhere as a file or in a link.
(() => {
  const LONGEST = 10_000;   // characters of a note
  const LARGEST = 5_000_000;   // characters of a file
  const FORBIDDEN = "This browser keeps nothing for this page: bookmarks and notes last until it is closed. Export them to keep them.";
  const FULL = "This browser has no room left for this page: what changed last is gone when it is closed. Export it to keep it.";
  const isText = (value) => typeof value === "string";
  const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

  class Marks {
    changes = new EventTarget();   // "change", whose detail is the expert, or null for several; and "stars" if `starred` is another
    trouble = null;   // why marks will not outlive the page
    #id; #title; #experts; #titles; #rows = new Map();
    #storage = null; #all = new Map(); #unkept = new Set(); #starred = new Set(); #lent = null; #isOther = false;

    // To be called once, before anything else.
    open(manifest) {
      this.#id = manifest.id;
      this.#title = document.title;
      this.#experts = manifest.experts.expert;
      this.#titles = manifest.experts.title;
      try { this.#storage = localStorage; } catch { /* said below */ }
      if (this.#storage === null) this.trouble = FORBIDDEN;
      this.#readAll();
      addEventListener("storage", ({ key }) => {
        if (key === null) this.#readAll();   // all was cleared
        else if (key.startsWith(this.#prefix)) this.#readOne(Number(key.slice(this.#prefix.length)));
      });
      // Where pages from disk are not told of each other's changes, they look when the reader comes back.
      document.addEventListener("visibilitychange", () => { if (!document.hidden) this.#readAll(); });
    }

    has(expert) { return this.#all.get(expert)?.starred ?? false; }

    note(expert) { return this.#all.get(expert)?.note ?? ""; }

    // { starred, note, changed }, or null.
    get(expert) { return this.#all.get(expert) ?? null; }

    all() { return [...this.#all].map(([expert, mark]) => ({ expert, ...mark })).sort((one, other) => one.expert - other.expert); }

    // The numbers of the experts that the list's filter lets pass: the bookmarked ones, or while a link's are shown, those.
    get starred() { return this.#lent ?? this.#starred; }

    get size() { return this.#starred.size; }

    toggle(expert) {
      const { starred, note } = this.#fresh(expert);
      this.put(expert, { starred: !starred, note, changed: Date.now() });
    }

    // seen: the note that the writer began from. If another tab has written one since, both are kept.
    write(expert, note, seen = this.note(expert)) {
      const now = this.#fresh(expert);
      if (now.note === note) return;
      this.put(expert, { ...now, note: now.note === seen ? note : joined(now.note, note, expert), changed: Date.now() });
    }

    // mark null: nothing is kept of the expert.
    put(expert, mark) {
      this.#keep(expert, mark);
      this.#told(expert);
    }

    // Other experts take the place of the bookmarked ones in the list's filter until null is given.
    lend(experts) {
      this.#lent = experts && new Set(experts);
      this.#isOther = true;
      this.#told(null);
    }

    // --- elsewhere ---

    json() {
      const marks = this.all().map(({ expert, changed, ...mark }) => ({ expert, title: this.#titles[this.#row(expert)], ...mark, changed: new Date(changed).toISOString() }));
      return { atlas: this.#id, title: this.#title, marks };
    }

    text() { return `${JSON.stringify(this.json(), null, 2)}\n`; }

    // The marks that a file of ours holds. Throws an error that says in one line why there are none.
    read(text) {
      if (text.length > LARGEST) throw new Error("The file is larger than 5 MB: it holds no bookmarks that were exported here.");
      let file;
      try { file = JSON.parse(text); } catch { throw new Error("The file is not JSON. Choose one that “Export” has written."); }
      if (!isObject(file) || !isText(file.atlas) || !Array.isArray(file.marks)) throw new Error("The file holds no bookmarks. Choose one that “Export” has written.");
      if (file.atlas !== this.#id) throw new Error(`These are bookmarks of another atlas${isText(file.title) && file.title ? `, “${file.title.slice(0, 200)}”` : ""}. Nothing was imported.`);
      return file.marks.map((mark, at) => this.#checked(mark, at));
    }

    // Joins marks to ours, all or none: an expert bookmarked in either is bookmarked, and two different notes are both kept.
    merge(marks) {
      const merged = new Map();
      for (const { expert, ...mark } of marks) {
        const before = merged.get(expert) ?? this.#fresh(expert);
        merged.set(expert, together(before, mark, expert));
      }
      const news = { added: 0, joined: 0 };
      for (const [expert, mark] of merged) {
        const before = this.#all.get(expert);
        if (!mark.starred && mark.note === "") continue;
        if (before === undefined) news.added += 1;
        else if (before.starred !== mark.starred || before.note !== mark.note) news.joined += 1;
        this.#keep(expert, mark);
      }
      this.#told(null);
      return news;
    }

    // Short enough for an address: whose marks they are, then the experts, "*" and "**" before a note (of a bookmarked one, of another).
    link() {
      const parts = this.all().map(({ expert, starred, note }) => `${expert}${starred ? "" : "*"}${note ? `*${packed(note)}` : ""}`);
      return [this.#id, ...parts].join(".");
    }

    // The marks that stand in an address; throws as read() does.
    linked(text) {
      const [id, ...parts] = text.split(".");
      if (!/^[0-9a-z]+$/i.test(id) || !parts.length) throw new Error("The bookmarks in this link cannot be read: it may have been cut. Ask for it again.");
      if (id !== this.#id) throw new Error("The bookmarks in this link are of another atlas.");
      const changed = Date.now();
      return parts.map((part) => {
        const found = /^(\d+)(?:(\*\*?)([\w-]+))?$/.exec(part);
        const note = found && (found[3] ? unpacked(found[3]) : "");
        if (note === null || note.length > LONGEST) throw new Error("The bookmarks in this link cannot be read: it may have been cut. Ask for it again.");
        const expert = Number(found[1]);
        if (this.#row(expert) === undefined) throw new Error(`The link has a bookmark of expert ${found[1]}, which this atlas does not have.`);
        return { expert, starred: found[2] !== "**", note, changed };
      });
    }

    // --- what is kept ---

    get #prefix() { return `atlas:${this.#id}:`; }

    #row(expert) {
      if (!this.#rows.size) for (let row = 0; row < this.#experts.length; row += 1) this.#rows.set(this.#experts[row], row);
      return this.#rows.get(expert);
    }

    #checked(mark, at) {
      const wrong = (what) => new Error(`Bookmark ${at + 1} in the file ${what}. Nothing was imported.`);
      if (!isObject(mark) || !Number.isInteger(mark.expert)) throw wrong("names no expert");
      if (this.#row(mark.expert) === undefined) throw wrong(`is of expert ${mark.expert}, which this atlas does not have`);
      if (typeof mark.starred !== "boolean" || !isText(mark.note)) throw wrong("does not say whether it has a star and a note");
      if (mark.note.length > LONGEST) throw wrong("has a note of more than 10,000 characters");
      const changed = isText(mark.changed) ? Date.parse(mark.changed) : NaN;
      if (Number.isNaN(changed)) throw wrong("does not say when it was changed");
      return { expert: mark.expert, starred: mark.starred, note: mark.note, changed };
    }

    // As it is now: another tab may have written a moment ago.
    #fresh(expert) {
      if (this.#storage !== null && !this.#unkept.has(expert)) this.#take(expert, this.#stored(expert));
      return this.#all.get(expert) ?? { starred: false, note: "", changed: 0 };
    }

    #stored(expert) {
      let text = null;
      try { text = this.#storage.getItem(this.#prefix + expert); } catch { this.trouble = FORBIDDEN; }
      try { return sound(JSON.parse(text)); } catch { return null; }   // not ours
    }

    #take(expert, mark) {
      if (mark === null || (!mark.starred && mark.note === "")) this.#all.delete(expert); else this.#all.set(expert, mark);
      if (this.#starred.has(expert) !== (mark?.starred ?? false)) this.#isOther = true;
      if (mark?.starred) this.#starred.add(expert); else this.#starred.delete(expert);
    }

    #keep(expert, mark) {
      this.#take(expert, mark);
      this.#unkept.add(expert);
      this.#store(expert);
    }

    #store(expert) {
      if (this.#storage === null) return;
      const mark = this.#all.get(expert);
      try {
        if (mark) this.#storage.setItem(this.#prefix + expert, JSON.stringify(mark)); else this.#storage.removeItem(this.#prefix + expert);
        this.#unkept.delete(expert);
        if (!this.#unkept.size) this.trouble = null;
      } catch (error) { this.trouble = error.name === "QuotaExceededError" ? FULL : FORBIDDEN; }
    }

    #readOne(expert) {
      if (this.#unkept.has(expert) || this.#row(expert) === undefined) return;
      this.#take(expert, this.#stored(expert));
      this.#told(expert);
    }

    // What could not be kept before stands over what is kept, and is tried again.
    #readAll() {
      if (this.#storage === null) return;
      const kept = new Set();
      try {
        for (let at = 0; at < this.#storage.length; at += 1) {
          const key = this.#storage.key(at);
          if (key.startsWith(this.#prefix)) kept.add(Number(key.slice(this.#prefix.length)));
        }
      } catch { this.trouble = FORBIDDEN; return; }
      for (const expert of [...kept, ...this.#all.keys()]) if (!this.#unkept.has(expert) && this.#row(expert) !== undefined) this.#take(expert, this.#stored(expert));
      for (const expert of [...this.#unkept]) this.#store(expert);
      this.#told(null);
    }

    #told(expert) {
      this.changes.dispatchEvent(new CustomEvent("change", { detail: expert }));
      if (this.#isOther) this.changes.dispatchEvent(new Event("stars"));
      this.#isOther = false;
    }
  }

  // Whatever a mark in storage may be, what is taken from it has the right types.
  function sound(mark) {
    if (!isObject(mark)) return null;
    return { starred: mark.starred === true, note: isText(mark.note) ? mark.note : "", changed: Number(mark.changed) || 0 };
  }

  // The newer below the older, unless one of them already holds the other.
  function together(one, other, expert) {
    const [older, newer] = one.changed <= other.changed ? [one, other] : [other, one];
    return { starred: one.starred || other.starred, note: joined(older.note, newer.note, expert), changed: newer.changed };
  }

  function joined(above, below, expert) {
    const holds = (all, part) => part === "" || `\n\n${all}\n\n`.includes(`\n\n${part}\n\n`);
    if (holds(above, below)) return above;
    if (holds(below, above)) return below;
    const both = `${above}\n\n${below}`;
    if (both.length > LONGEST) throw new Error(`The two notes on expert ${expert} together have more than 10,000 characters: shorten one first.`);
    return both;
  }

  // Text as base64 for addresses, and back; null where it is none.
  function packed(text) {
    const bytes = new TextEncoder().encode(text);
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  }

  function unpacked(text) {
    try {
      const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch { return null; }
  }

  atlas.marks = new Marks();
  atlas.marks.LONGEST = LONGEST;
})();
