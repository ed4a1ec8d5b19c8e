"use strict";
// A page of one expert that stands alone: its cloud, and what can be said.
(async () => {
  const { route } = atlas;
  const { make } = atlas.words;
  const LOOKS = ["colour", "seen", "camera", "pin", "only", "without", "flat", "join"];
  const main = document.querySelector("main");
  const manifest = atlas.columns.decoded(await atlas.payloads.load("atlas"));
  const { looks, site } = await atlas.payloads.load("embed");
  const record = await atlas.records.open(manifest, 0);
  const { expert } = record;
  main.querySelector("[data-sayings]").append(...record.data.sayings.map((said) => make("p", {}, said)));
  const root = main.querySelector("[data-stage]");
  root.querySelector("[data-link]").hidden = true;   // a file's address is nobody else's
  const stage = new atlas.stage.Stage(root, manifest, () => {});
  const back = main.querySelector("[data-site]");

  function show() {
    if (back) back.href = site + route.link({ expert, ...Object.fromEntries(LOOKS.map((look) => [look, route.state[look]])) });
    stage.show(record, route.state).catch((error) => atlas.words.trouble(main, error.message));
  }

  route.changes.addEventListener("change", show);
  // An address of its own, as after a reload, comes before how the page was made.
  if (route.state.expert === expert) show(); else route.adjust({ ...looks, expert });
})();
