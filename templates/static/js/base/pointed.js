"use strict";
// The expert that the reader points at, by its row: what the map, the list and the preview show together. It comes and goes with the
// pointer or the keyboard; the one that was chosen stands in the address (`at`).
(() => {
  const changes = new EventTarget();
  let row = null;

  function at(pointed) {
    if (pointed === row) return;
    row = pointed;
    changes.dispatchEvent(new Event("change"));
  }

  atlas.pointed = { get row() { return row; }, at, changes };
})();
