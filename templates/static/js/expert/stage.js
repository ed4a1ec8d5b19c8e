"use strict";
// The cloud of one expert with its controls: which points, coloured by what, seen how, and what the reader holds on to.
(() => {
  const { make, say } = atlas.words;
  const { route, colouring: ways } = atlas;
  const PLAIN = ["label", "norm", "importance", "position", "document", "template", "token"];   // what is told of every point anyway
  const PICTURE = { width: 1000, height: 1000 };
  const [ASIDE, EDGE] = [16, 8];   // px from the tip to its point, and to the edge of the window
  const SAID = 4000;   // ms that a word on what was passed on stays

  class Stage {
    #root; #manifest; #onSource; #beside = null; #pins = ""; #on; #tip; #key; #chosen; #scene = null; #projections = null;
    #turn = 0; #record = null; #other = null; #state = null; #drawn = null; #selected = []; #byKey = false; #saying = null;

    // onSource hears of the task whose points are shown.
    constructor(root, manifest, onSource) {
      [this.#root, this.#manifest, this.#onSource] = [root, manifest, onSource];
      this.#tip = document.querySelector("[data-tip]");
      this.#key = new atlas.key.Key(this.#part("key"));
      this.#chosen = new atlas.chosen.Chosen(this.#part("chosen"));
      this.#on = {
        camera: (text) => this.#adjust({ camera: text }),
        turned: (view) => this.#beside?.turn(view),
        hover: (index, spot) => this.#hover(index, spot),
        pin: (index) => this.#pin(index),
        select: (indices) => this.#select(indices),
        spin: (on) => this.#part("spin").setAttribute("aria-pressed", String(on)),
        tool: (name) => this.#part("select").setAttribute("aria-pressed", String(name === "select")),
      };
      this.#controls();
      this.#toolbar();
      this.#takeaways();
      for (const box of [this.#part("scene"), this.#part("projections")]) {
        box.addEventListener("pointermove", () => { this.#byKey = false; }, true);
        box.addEventListener("keydown", () => { this.#byKey = true; }, true);
      }
      atlas.scheme.changes.addEventListener("change", () => { if (this.#record && root.checkVisibility()) this.show(this.#record, this.#state, this.#other); });
    }

    get element() { return this.#root; }

    // Turns as another stage is turned, and turns it; in the address its pins are told from those of the other by what stands before them.
    turnWith(other, pins) { [this.#beside, this.#pins] = [other, pins]; }

    turn(view) { if (this.#drawn?.cloud && !this.#drawn.isFlat && this.#root.checkVisibility()) this.#scene?.look(view); }

    #part(name) { return this.#root.querySelector(`[data-${name}]`); }

    #parts(name) { return this.#root.querySelectorAll(`[data-${name}]`); }

    // What is done to a cloud while the reader is on the way to another is none of the other's.
    #adjust(looks) {
      const isHere = ["expert", "beside"].every((page) => String(route.state[page]) === String(this.#state[page]));
      if (isHere) route.adjust(looks);
    }

    // --- controls ---

    #controls() {
      this.#part("colour").addEventListener("change", ({ target }) => {
        const { task } = ways.read(this.#manifest, target.value);
        const isOther = task !== this.#drawn?.points.task;   // its points are others
        route.adjust({ colour: target.value, only: [], without: [], ...(isOther ? { pin: null } : {}) });
      });
      this.#part("seen").addEventListener("change", ({ target }) => route.adjust({ seen: target.value === "gate" ? "gate" : null, camera: null }));
      this.#part("flat").addEventListener("click", () => route.adjust({ flat: !route.state.flat }));
      this.#part("join").addEventListener("change", ({ target }) => route.adjust({ join: target.checked }));
    }

    #toolbar() {
      for (const button of this.#parts("camera")) button.addEventListener("click", () => this.#view().camera(button.dataset.camera));
      const turned = ({ target }) => target.getAttribute("aria-pressed") !== "true";
      this.#part("spin").addEventListener("click", (event) => this.#view().spin(turned(event)));
      this.#part("select").addEventListener("click", (event) => this.#view().tool(turned(event) ? "select" : "turn"));
      this.#part("in-sight").addEventListener("click", () => this.#view().selectInSight());
    }

    // --- what is passed on ---

    #takeaways() {
      this.#part("link").addEventListener("click", () => this.#link());
      for (const button of this.#parts("save")) button.addEventListener("click", () => this.#save(button.dataset.save));
    }

    async #link() {
      this.#settle();
      const isCopied = await atlas.passing.link();
      const field = this.#part("address");
      field.hidden = isCopied;
      if (isCopied) return this.#say("Copied.");
      field.value = location.href;
      field.focus();
      field.select();
      this.#say("Copy it from here.");
    }

    // The address says how the cloud is seen now, though it may be turning.
    #settle() {
      if (this.#drawn) this.#view().settled();
      route.settle();
    }

    async #save(kind) {
      this.#settle();
      const { passing } = atlas;
      const [record, { points, cloud, colouring }] = [this.#record, this.#drawn];
      const name = passing.fileName(record, points.task, kind);
      const made = {
        csv: () => passing.csv(record),
        json: () => passing.json(record),
        png: async () => passing.bytes(await this.#view().png(PICTURE)),
        svg: () => passing.svg(cloud, colouring, { scheme: atlas.scheme.name(), colours: atlas.projections.palette(), title: cloud.title, caption: this.#part("drawn").textContent }),
      }[kind];
      passing.give(await made(), name);
      this.#say(`Saved as ${name}.`);
    }

    #say(words) {
      clearTimeout(this.#saying);
      say(this.#part("passed"), words);
      this.#saying = setTimeout(() => { this.#part("passed").textContent = ""; }, SAID);
    }

    // --- what is drawn ---

    // Shows an expert's cloud as the address asks; what is drawn already stays. other: the record of the one beside it, whose colours mean the same.
    async show(record, state, other = null) {
      const turn = ++this.#turn;
      [this.#state, this.#other] = [state, other];
      this.#root.hidden = !record.data.tasks.length;
      if (this.#root.hidden) return this.#onSource(record.data.shapes[0]?.task);
      if (record !== this.#record) {
        this.#offer(record);
        this.#root.classList.add("waiting");   // what is drawn is of another
      }
      const { task, way } = this.#asked(record, state);
      const [points, beside] = await Promise.all([record.points(task.task), other?.sources.includes(task) ? other.points(task.task) : null]);
      if (turn !== this.#turn) return;
      const isOther = points !== this.#drawn?.points;
      if (isOther) { this.#selected = []; this.#hover(null); this.#say(""); }
      this.#onSource(task.task);
      const isGate = state.seen === "gate" && Boolean(record.data.gate?.matrix);
      const isFlat = state.flat || !hasWebGL();
      const supported = record.supported(task).filter((shape) => shape !== "map");
      const line = points.means.text.length < 2 || !(supported.length || state.join) ? "none" : task.cyclic ? "closed" : "open";
      const of = `${record.expert} ${task.task} ${isGate} ${beside && other.expert}`;   // a camera is of them both
      const key = `${of} ${isFlat} ${line} ${atlas.scheme.name()}`;
      const isSame = !isOther && this.#drawn?.way === way && this.#drawn.beside === beside;
      const colouring = isSame ? this.#drawn.colouring : ways.of(points, way, this.#manifest, beside);
      const before = this.#drawn;
      this.#drawn = { key, points, beside, way, colouring, isFlat, isGate, cloud: null };
      this.#part("colour").value = ways.write(task, way);
      this.#set({ isFlat, isGate, isJoined: line !== "none", canJoin: !supported.length && points.means.text.length > 1 });
      this.#key.show(colouring, state);
      say(this.#part("drawn"), atlas.captions.caption(record, points, { colouring, way, isGate, supported: record.supported(task), isJoined: line !== "none" }));
      this.#root.classList.remove("waiting");
      const looks = this.#looks(state);
      if (before?.key === key && before.cloud) {
        this.#drawn.cloud = { ...before.cloud, ...looks, means: { ...before.cloud.means, colours: looks.means }, title: this.#title() };
        this.#view().recolour(looks);
        this.#view().follow(state.camera);
      } else {
        const seen = seenBy(isGate, record, points);
        this.#drawn.cloud = {
          ...seen, key: of, title: this.#title(), colours: looks.colours, means: { ...seen.means, colours: looks.means }, line,
          axes: atlas.captions.axisNames(record.data.axes, isGate), camera: state.camera, order: strongest(points),
          reach: beside && atlas.camera.reach({ ...seenBy(isGate, other, beside), axes: other.data.axes }),
        };
        await this.#view().show(this.#drawn.cloud);
        if (turn !== this.#turn) return;
        this.#view().tool(this.#part("select").getAttribute("aria-pressed") === "true" ? "select" : "turn");   // the other view may have another
      }
      this.#held(state);
    }

    // The colours of points and class means; what is filtered out, or not selected while others are, has that of lines.
    #looks(state) {
      const { points, colouring } = this.#drawn;
      const scheme = atlas.scheme.name();
      const out = atlas.projections.palette().line;
      const colours = colouring.colours(scheme);
      const kept = ways.kept(colouring, state);
      if (colouring.of) colouring.of.forEach((place, at) => { if (!kept[place]) colours[at] = out; });
      if (this.#selected.length) {
        const chosen = new Set(this.#selected);
        for (let at = 0; at < colours.length; at += 1) if (!chosen.has(at)) colours[at] = out;
      }
      const groups = marked(points);
      const means = colouring.means(groups, scheme).map((colour, at) => {
        const place = colouring.place(groups[at]);
        return place !== null && !kept[place] ? out : colour ?? this.#manifest.colours[scheme].none;
      });
      return { colours, means };
    }

    #title() { return `Cloud of expert ${this.#record.expert}, coloured by ${this.#drawn.colouring.title}`; }

    // The scene, or where WebGL is missing or unwanted the projections. Each is made when it is first needed.
    #view() {
      if (this.#drawn.isFlat) return (this.#projections ??= new atlas.projections.Projections(this.#part("projections"), this.#on));
      return (this.#scene ??= new atlas.scene.Scene(this.#part("scene"), this.#on));
    }

    #set({ isFlat, isGate, isJoined, canJoin }) {
      this.#part("scene").hidden = isFlat;
      this.#part("projections").hidden = !isFlat;
      for (const part of this.#parts("turning")) part.hidden = isFlat;
      const turns = this.#record.data.axes.length > 2;   // else it is seen straight on
      this.#part("along").hidden = isFlat || !turns;
      this.#part("spin").hidden = !turns;
      this.#part("flat").setAttribute("aria-pressed", String(isFlat));
      this.#part("flat").hidden = !hasWebGL();
      this.#part("joining").hidden = !canJoin;
      this.#part("join").checked = isJoined;
      this.#part("seen").value = isGate ? "gate" : "model";
      const { gate } = this.#record.data;
      this.#part("seen").options[1].disabled = !gate?.matrix;
      this.#part("no-gate").hidden = !gate?.absent;
      say(this.#part("no-gate"), gate?.absent ?? "");
    }

    #offer(record) {
      this.#record = record;
      this.#part("colour").replaceChildren(...record.sources.map((task) => make("optgroup", { label: task.title }, ...ways.ways(task).map((way) => make("option", { value: ways.write(task, way[0]) }, ways.told(record, task, way))))));
    }

    // What a reader looks at: the task chosen here, else the one that the list was narrowed by, else the expert's own.
    #asked(record, state) {
      const { sources } = record;
      const chosen = ways.read(this.#manifest, state.colour);
      const task = sources.find((one) => one === asked(this.#manifest, state)) ?? sources.find(({ task: number }) => number === record.field("cloud_task")) ?? sources[0];
      return { task, way: (task === chosen.task ? chosen.way : null) ?? ways.own(task) };
    }

    // --- what the reader points at, pins and selects ---

    #more(at) { return PLAIN.includes(this.#drawn.way) ? [] : [this.#drawn.colouring.tell(at)]; }

    // spot: where the point is seen on the page.
    #hover(index, spot = null) {
      this.#tip.hidden = index === null || !this.#drawn;
      this.#part("told").textContent = "";
      if (this.#tip.hidden) return;
      const { points } = this.#drawn;
      this.#tip.replaceChildren(make("p", { class: "note" }, atlas.chosen.facts(points, index, this.#more(index)).join(" · ")), ...atlas.chosen.context(points, index));
      if (this.#byKey) this.#part("told").textContent = this.#tip.textContent;
      const { offsetWidth, offsetHeight } = this.#tip;
      const above = spot.top - offsetHeight - ASIDE;
      this.#tip.style.left = `${Math.max(EDGE, Math.min(innerWidth - offsetWidth - EDGE, spot.left - offsetWidth / 2))}px`;
      this.#tip.style.top = `${above < EDGE ? spot.top + ASIDE : above}px`;
    }

    #pin(index) {
      const pin = `${this.#pins}${index}`;
      this.#adjust({ pin: index === null || pin === route.state.pin ? null : pin });
    }

    #select(indices) {
      this.#selected = indices;
      this.#view().recolour(this.#looks(this.#state));
      this.#held(this.#state);
    }

    // Does what takes away the button that was pressed: the keyboard goes on from the cloud.
    #back(act) {
      act();
      this.#part(this.#drawn.isFlat ? "projections" : "scene").focus({ preventScroll: true });
    }

    // The panels of the pinned and the selected points.
    #held({ pin }) {
      const { points } = this.#drawn;
      const [own, number] = /^([a-z]*)(\d+)$/.exec(pin ?? "")?.slice(1) ?? [null];
      const at = own === this.#pins && Number(number) < points.count ? Number(number) : null;
      this.#view().pin(at);
      atlas.chosen.showPinned(this.#part("pinned"), points, at, () => this.#back(() => this.#pin(null)));
      this.#chosen.show(points, this.#selected, { clear: () => this.#back(() => this.#select([])), pin: (index) => this.#pin(index) });
    }
  }

  let webgl = null;
  const hasWebGL = () => (webgl ??= atlas.scene.hasWebGL());   // asked once: the answer costs a context

  // The labels of each class mean.
  function marked({ task: { labels, labels_per_mean: several }, means }) {
    return means.label.map((first) => Array.from({ length: Math.min(several, labels.name.length - first) }, (_, at) => first + at));
  }

  const seenBy = (isGate, { data: { gate } }, points) => (isGate && gate?.matrix ? atlas.views.gate(points, gate) : atlas.views.model(points));

  const strongest = (points) => Array.from({ length: points.count }, (_, at) => at).sort((one, other) => points.norm(other) - points.norm(one));

  // The task that an address asks for: the one to colour by, else what the list was narrowed by. A colour that is none asks for nothing.
  const asked = (manifest, { colour, label, task }) => ways.read(manifest, colour).task ?? manifest.tasks.find(({ name }) => name === (label[0]?.split(":")[0] ?? task));

  atlas.stage = { Stage, asked };
})();
