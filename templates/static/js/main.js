"use strict";
// Starts the page once the manifest is here, and shows what the address asks for.
(async () => {
  const { load } = atlas.payloads;
  const pages = Object.fromEntries([...document.querySelectorAll("[data-page]")].map((page) => [page.dataset.page, page]));
  document.querySelector("[data-skip]").addEventListener("click", (event) => {
    event.preventDefault();   // the address after the # is ours
    document.querySelector("main").focus();
  });
  const toggle = document.querySelector("[data-scheme-toggle]");
  toggle.addEventListener("click", atlas.scheme.toggle);
  toggle.hidden = false;
  if (matchMedia("(max-width: 1079px)").matches) document.querySelector("[data-facts]").open = false;

  let manifest;
  try { manifest = await load("atlas"); } catch (error) { return atlas.words.trouble(pages.list, error.message); }
  const list = new atlas.list.List(pages.list, manifest);
  const expert = new atlas.expert.Page(pages.expert, manifest);
  document.querySelector("[data-controls]").hidden = false;
  const title = document.title;
  let shown = { expert: undefined, sort: undefined };
  let scrolled = 0;

  function show() {
    const state = atlas.route.state;
    const onList = state.expert === null;
    if (shown.expert === null && !onList) scrolled = scrollY;
    if (state.sort !== shown.sort) list.show(state.sort);
    document.querySelector("[data-home]").href = atlas.route.link({ expert: null });
    pages.list.hidden = !onList;
    pages.expert.hidden = onList;
    document.title = onList ? title : `Expert ${state.expert} · ${title}`;
    const arrived = state.expert !== shown.expert && shown.expert !== undefined;
    const from = shown.expert;
    shown = { ...state };
    if (!onList) expert.show(state, { arrived });
    else if (arrived) {
      scrollTo(0, scrolled);
      list.focus(from);
    }
  }

  history.scrollRestoration = "manual";
  atlas.route.changes.addEventListener("change", show);
  show();
})();
