"use strict";
// Starts the page once the manifest is here, and shows what the address asks for.
(async () => {
  const { route } = atlas;
  const SOON = 300;   // ms, below which waiting needs no word
  const pages = Object.fromEntries([...document.querySelectorAll("[data-page]")].map((page) => [page.dataset.page, page]));
  const toggle = document.querySelector("[data-scheme-toggle]");
  toggle.addEventListener("click", atlas.scheme.toggle);
  toggle.hidden = false;
  document.querySelector("[data-skip]").addEventListener("click", (event) => {
    event.preventDefault();   // the address after the # is ours
    const open = Object.values(pages).find((page) => !page.hidden);
    open.querySelector(open === pages.list ? "[data-gallery]" : "[data-heading]").focus();
  });
  document.body.dataset.page = "list";

  let manifest;
  try { manifest = atlas.columns.decoded(await atlas.payloads.load("atlas")); } catch (error) { return atlas.words.trouble(pages.list, error.message); }
  atlas.marks.open(manifest);
  const classes = manifest.shapes && new atlas.classes.Classes(manifest);
  const finder = new atlas.query.Finder(manifest, classes);
  const list = new atlas.list.List(pages.list, manifest, finder, classes);
  // What shows a finding. The list measures its place, so it comes before anything is written.
  const views = [
    list,
    new atlas.narrowed.Narrowed(pages.list, manifest, finder),
    ...(manifest.map ? [new atlas.map.Overview(document.querySelector("[data-map]"), manifest, finder, classes)] : []),
    new atlas.preview.Preview(document.querySelector("[data-preview]"), manifest, finder, classes),
    new atlas.facets.Facets(document, manifest, finder, classes),
    new atlas.searchbox.SearchBox(document),
  ];
  const expertPage = new atlas.expert.Page(pages.expert, manifest);
  const others = {
    expert: expertPage,
    beside: new atlas.beside.Page(pages.beside, manifest, { finder, classes, lent: expertPage.stage }),
    token: new atlas.token.Page(pages.token, manifest, finder),
    task: new atlas.task.Page(pages.task, manifest, finder),
    cluster: new atlas.cluster.Page(pages.cluster, manifest, finder, classes),
    prompt: new atlas.prompt.Page(pages.prompt, manifest),
    about: { show: (state, { arrived }) => { if (arrived) { scrollTo(0, 0); pages.about.querySelector("[data-heading]").focus({ preventScroll: true }); } } },
    fidelity: new atlas.fidelity.Page(pages.fidelity, manifest),
    provenance: new atlas.provenance.Page(pages.provenance),
  };
  new atlas.bookmarks.Bookmarks(document, manifest, finder);
  atlas.keys.listen(document, { list, finder, manifest });
  const [tabs, title] = [document.querySelector("[data-tabs]"), document.title];
  tabs.hidden = !manifest.map;
  for (const tab of tabs.querySelectorAll("[data-tab]")) tab.addEventListener("click", () => route.adjust({ tab: tab.dataset.tab }));

  let shown = { place: null, finding: null, marks: false };
  let found = null;
  let turn = 0;
  let scrolled = 0;
  let busy = null;

  // The key of the address that each page of one thing is asked for by.
  const KEYS = { expert: "expert", beside: "beside", token: "token", task: "ofTask", cluster: "ofCluster", prompt: "prompt" };
  const pageOf = (state) => Object.keys(KEYS).find((page) => state[KEYS[page]] !== null) ?? ["about", "fidelity", "provenance"].find((page) => state[page]) ?? "list";
  const TITLES = {
    expert: ({ expert }) => `Expert ${expert}`,
    beside: ({ beside: [left, right] }) => `Experts ${left} and ${right}`,
    token: ({ token }) => `“${token}”`,
    task: ({ ofTask }) => manifest.tasks.find(({ name }) => name === ofTask)?.title ?? ofTask,
    cluster: ({ ofCluster }) => `Cluster ${manifest.map?.clusters.name[ofCluster] ?? ofCluster}`,
    prompt: ({ prompt }) => manifest.prompts[prompt]?.title ?? `Prompt ${prompt}`,
    about: () => "About",
    fidelity: () => "Fidelity and training",
    provenance: () => "Provenance",
  };
  const titleOf = (state, page) => (page === "list" ? title : `${TITLES[page](state)} · ${title}`);

  // again: the finding may be another though the address is the same.
  async function show({ again = false } = {}) {
    const state = route.state;
    const now = ++turn;
    const page = pageOf(state);
    const place = `${page} ${state[KEYS[page]] ?? ""}`;
    const finding = route.finding(state);
    if (shown.place === "list " && page !== "list") scrolled = scrollY;
    let missing = null;
    clearTimeout(busy);
    if (again || finding !== shown.finding) {
      busy = setTimeout(() => pages.list.setAttribute("aria-busy", "true"), SOON);
      const loaded = await finder.ready(state);
      if (now !== turn) return;
      clearTimeout(busy);
      busy = null;
      missing = loaded.trouble;   // the list is then of what could be read
      found = finder.find(state, loaded);
      for (const view of views) view.show(state, found);
    } else if (busy !== null) {   // what was asked for was taken back before it came: the controls say so again
      busy = null;
      for (const view of views) view.show(state, found);
    } else for (const view of views) view.look?.(state, found);
    pages.list.removeAttribute("aria-busy");
    atlas.words.trouble(pages.list, missing ?? (state.strange === null ? null : `This atlas has no page “#/${state.strange}”. Here is the list of its experts.`));
    const arrived = place !== shown.place && shown.place !== null;
    const from = shown.place;
    const left = from?.split(" ")[0];
    if (left !== page) others[left]?.leave?.();
    if (page !== "list") route.follow();
    shown = { place, finding: missing ? null : finding };
    turnTo(page, state);
    if (page !== "list") others[page].show(state, { arrived, rows: found.rows, found });
    else if (arrived) back(from);
  }

  function turnTo(page, state) {
    for (const [name, section] of Object.entries(pages)) section.hidden = name !== page;
    document.body.dataset.page = page;
    pages.list.dataset.tab = state.tab;
    for (const tab of tabs.querySelectorAll("[data-tab]")) tab.setAttribute("aria-pressed", String(tab.dataset.tab === state.tab));
    document.title = atlas.words.spelled(titleOf(state, page));
    for (const link of document.querySelectorAll("[data-to]")) link.href = route.link({ [link.dataset.to]: true });
    for (const link of document.querySelectorAll("[data-prompt]")) link.href = route.link({ prompt: Number(link.dataset.prompt) });
    for (const link of document.querySelectorAll("[data-back]")) {
      link.href = route.link({ at: state.expert ?? state.at });
      link.textContent = found.rows.length === finder.all ? "All experts" : atlas.query.told(found.rows.length, finder.all);
    }
  }

  // The list again, as it was left; the keyboard is where it came from.
  function back(from) {
    scrollTo(0, scrolled);
    if (document.activeElement?.type === "search") return;
    const [page, which] = from.split(" ");
    if (["about", "fidelity", "provenance", "prompt"].includes(page)) return document.querySelector('[data-to="about"]').focus({ preventScroll: true });   // the way to all of them
    const isThere = page === "expert" && views.findLast((view) => view.focus?.(Number(which)));   // the map before the list
    if (!isThere) pages.list.querySelector("[data-gallery]").focus({ preventScroll: true });
  }

  history.scrollRestoration = "manual";
  route.changes.addEventListener("change", () => show());
  atlas.marks.changes.addEventListener("stars", () => show({ again: true }));
  show();
})();
