"use strict";
// A sheet is a dialog at the page's edge: Escape, its button, or a press beside it closes it.
(() => {
  function sheet(dialog) {
    const isBeside = ({ clientX, clientY }) => {
      const { left, right, top, bottom } = dialog.getBoundingClientRect();
      return clientX < left || clientX > right || clientY < top || clientY > bottom;
    };
    let began = false;   // a press that began inside, as when text is marked, does not close it
    dialog.addEventListener("pointerdown", (event) => { began = isBeside(event); });
    dialog.addEventListener("click", (event) => { if (began && event.target === dialog && isBeside(event)) dialog.close(); });
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  }

  atlas.sheet = sheet;
})();
