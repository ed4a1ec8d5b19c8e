"use strict";
// Starts the page once the manifest is here, and shows what the address asks for.
(async () => {
  const { load } = atlas.payloads;
  const pages = Object.fromEntries([...document.querySelectorAll("[data-page]")].map((page) => [page.dataset.page, page]));
  document.querySelector("[data-skip]").addEventListener("click", (event) => {
    event.preventDefault();   // the address after the # is ours
    const open = Object.values(pages).find((page) => !page.hidden);
    open.querySelector(open === pages.list ? "[data-gallery]" : "[data-heading]").focus();
  });
  const toggle = document.querySelector("[data-scheme-toggle]");
  toggle.addEventListener("click", atlas.scheme.toggle);
  toggle.hidden = false;
  if (matchMedia("(max-width: 1079px)").matches) document.querySelector("[data-facts]").open = false;

  let manifest;
  try { manifest = await load("atlas"); } catch (error) { return atlas.words.trouble(pages.list, error.message); }
  const classes = manifest.shapes && new atlas.classes.Classes(manifest);
  const finder = new atlas.find.Finder(manifest, classes);
  const facets = new atlas.facets.Facets(document, manifest, finder, classes);
  const summary = new atlas.facets.Summary(pages.list, finder);
  const overview = manifest.map && new atlas.map.Overview(document.querySelector("[data-map]"), manifest, classes);
  const list = new atlas.list.List(pages.list, manifest, classes);
  const expert = new atlas.expert.Page(pages.expert, manifest);
  const fidelity = new atlas.fidelity.Page(pages.fidelity, manifest);
  document.querySelector("[data-controls]").hidden = false;
  const title = document.title;
  let shown = { place: undefined, view: undefined };
  let found = null;
  let turn = 0;
  let scrolled = 0;

  async function show() {
    const state = atlas.route.state;
    const now = ++turn;
    const place = state.fidelity ? "fidelity" : state.expert ?? "list";
    const onList = place === "list";
    if (shown.place === "list" && !onList) scrolled = scrollY;
    let missing = null;
    // What cannot be read is said below; without it the query finds nothing.
    try { await finder.ready(state); } catch (error) { missing = error.message; }
    if (now !== turn) return;
    const [, view] = atlas.route.around();
    if (view !== shown.view) {
      facets.show(state);
      found = missing ? { rows: [], filters: [], relaxed: [] } : finder.find(state);
      summary.show(state, found);
      overview?.show(state, found);
      list.show(found);
    }
    atlas.words.trouble(pages.list, missing ?? (state.strange === null ? null : `This atlas has no page “#/${state.strange}”. Here is the list of its experts.`));
    pages.list.hidden = !onList;
    pages.expert.hidden = state.expert === null;
    pages.fidelity.hidden = !state.fidelity;
    document.title = onList ? title : `${state.fidelity ? "Fidelity and training" : `Expert ${state.expert}`} · ${title}`;
    const arrived = place !== shown.place && shown.place !== undefined;
    const from = shown.place;
    shown = { place, view: missing ? undefined : view };
    for (const link of document.querySelectorAll("[data-to]")) link.href = atlas.route.link({ expert: null, [link.dataset.to]: true });
    if (state.fidelity) fidelity.show({ arrived, rows: found.rows });
    else if (!onList) expert.show(state, { arrived, rows: found.rows });
    else if (arrived && document.activeElement?.type !== "search") {
      scrollTo(0, scrolled);
      if (from === "fidelity") document.querySelector("[data-to=fidelity]")?.focus({ preventScroll: true });
      else if (!overview?.focus(from)) list.focus(from);
    }
  }

  history.scrollRestoration = "manual";
  atlas.route.changes.addEventListener("change", show);
  show();
})();
