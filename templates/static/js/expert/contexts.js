"use strict";
// A few tokens around a firing, on one line.
(() => {
  const { make, number, token } = atlas.words;

  const split = (words, at) => ({ before: words.slice(0, at), firing: words[at], after: words.slice(at + 1) });

  // The way that most letters of a context run; its first letter would turn a line around for one word.
  const RIGHT_TO_LEFT = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Nko}\p{Script=Syriac}\p{Script=Thaana}]/gu;
  function direction(text) {
    const letters = text.match(/\p{L}/gu)?.length ?? 0;
    return 2 * (text.match(RIGHT_TO_LEFT)?.length ?? 0) > letters ? "rtl" : "ltr";
  }

  // A context on one line, its firing token in the middle; level is its intensity from 0 to 1.
  function line({ before, firing, after }, level) {
    const lead = /^ (?=\S)/.test(firing) ? " " : "";   // the space before a word is not part of what lights up
    const mark = make("mark", {}, ...token(firing.slice(lead.length)));
    mark.style.setProperty("--level", level.toFixed(3));
    const side = (name, words, end = "") => make("span", { class: name }, make("span", { class: "side" }, ...words.flatMap(token), end));
    return make("span", { class: "context", dir: direction([...before, firing, ...after].join("")) }, side("before", before, lead), mark, side("after", after));
  }

  function describe(context, about, norm) {
    const what = make("p", { class: "note" }, [...about, `norm ${number(norm)}`].join(" · "));
    return context ? [what, line(context, 1)] : [what];
  }

  atlas.contexts = { split, line, describe };
})();
