"use strict";
// What a number is, where it stands: its name opens the definition that docs/measures.md has of it.
(() => {
  const { make } = atlas.words;
  const NOWHERE = "This atlas was baked without its definitions. Bake the site again.";
  let sheet = null;
  let asked = 0;

  // The name of a number: a button that opens its definition.
  function term(name, text) {
    return make("button", { type: "button", class: "term", "data-term": name }, text);
  }

  // Nodes of a sentence, in which each of these phrases is such a name where it first stands. terms: by phrase.
  function within(sentence, terms) {
    const left = new Set(Object.keys(terms));
    const phrases = RegExp(`(?<![\\p{L}\\p{N}])(${[...left].join("|")})(?![\\p{L}\\p{N}])`, "u");
    return sentence.split(phrases).map((part, at) => (at % 2 && left.delete(part) ? term(terms[part], part) : part));
  }

  async function open(name, from) {
    const turn = ++asked;
    const { title, html, told } = await defined(name);
    if (turn !== asked || !from.isConnected) return;
    sheet ??= document.body.appendChild(make("div", { popover: "auto", class: "definition", role: "dialog", tabindex: "0", "data-definition": "" }));
    const text = make("div", { class: "definition-text" });
    if (told) text.append(told);
    else text.innerHTML = html;   // made by the bake, from our own words
    const isFirst = text.querySelector("p").firstChild?.textContent === title;   // as a paragraph of its own begins
    sheet.replaceChildren(...(isFirst ? [] : [make("h2", {}, title)]), text);
    sheet.setAttribute("aria-label", title);
    if (!from.contains(document.activeElement)) from.focus({ preventScroll: true });   // to which the browser goes back
    sheet.showPopover();
    place(sheet, from.getBoundingClientRect());
    sheet.focus({ preventScroll: true });
  }

  async function defined(name) {
    try {
      const found = (await atlas.payloads.load("definitions"))[name];
      return found ?? { title: name, told: make("p", {}, NOWHERE) };
    } catch (error) {
      return { title: name, told: make("p", {}, error.message) };
    }
  }

  // Below the name, or above it where there is more room; within the window.
  function place(element, { left, top, bottom }) {
    const { offsetWidth: width, offsetHeight: height } = element;
    const isBelow = bottom + height + 8 <= innerHeight || top < innerHeight - bottom;
    element.style.insetInlineStart = `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`;
    element.style.insetBlockStart = `${isBelow ? Math.min(bottom + 4, Math.max(8, innerHeight - height - 8)) : Math.max(8, top - height - 4)}px`;
  }

  // The number that the keyboard is at, else the one below the pointer: its own name, or that of its column or row. Any element may
  // say by data-term what it is of; those that look so open by a press, too.
  function near() {
    return named(document.activeElement) ?? named([...document.querySelectorAll(":hover")].at(-1));
  }

  function named(element) {
    if (!element || element === document.body) return null;
    const own = element.closest("[data-term]") ?? element.querySelector(":scope > [data-term]");
    if (own) return own;
    const cell = element.closest("td, th");
    const head = cell?.closest("table").tHead?.rows[0].cells[cell.cellIndex];
    return [head, ...(cell?.parentElement.cells ?? [])].map(inCell).find(Boolean) ?? null;
  }

  const inCell = (cell) => (cell?.matches("[data-term]") ? cell : cell?.querySelector("[data-term]"));

  // Opens what the number near at hand is; false where there is none.
  function tell() {
    const name = near();
    if (!name) return false;
    open(name.dataset.term, name);
    return true;
  }

  document.addEventListener("click", ({ target }) => {
    const name = target.closest?.(".term");
    if (name) open(name.dataset.term, name);
  });

  atlas.definitions = { term, within, tell };
})();
