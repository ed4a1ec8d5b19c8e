"use strict";
// Tokens around a firing: on one line, or as much of the text as a reader asks for. Where the expert fires is marked by how strongly.
(() => {
  const { make, token } = atlas.words;
  const SHARES = [0, 0.25, 0.6, 1];   // of the middle token's shade, by level: silent, below half of its norm, below it, not below it
  const SAID = [null, "fires here too, less than half as strongly", "fires here too, less strongly", "fires here too, at least as strongly"];

  // fires: the levels of the tokens around the firing, as far as they are known.
  function split(words, at, fires = null) {
    const reach = fires ? fires.length / 2 : 0;
    const level = (apart) => (Math.abs(apart) > reach ? 0 : fires[apart < 0 ? reach + apart : reach + apart - 1]);
    return {
      before: words.slice(0, at), firing: words[at], after: words.slice(at + 1),
      levels: words.map((_, place) => (place === at ? 0 : level(place - at))),
    };
  }

  // The way that most letters of a context run; its first letter would turn a line around for one word.
  const RIGHT_TO_LEFT = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Nko}\p{Script=Syriac}\p{Script=Thaana}]/gu;
  function direction({ before, firing, after }) {
    const text = [...before, firing, ...after].join("");
    const letters = text.match(/\p{L}/gu)?.length ?? 0;
    return 2 * (text.match(RIGHT_TO_LEFT)?.length ?? 0) > letters ? "rtl" : "ltr";
  }

  // The space before a word is not part of what lights up.
  const lead = (text) => (/^ (?=\S)/.test(text) ? " " : "");

  function lit(text, shade, attributes) {
    const mark = make("mark", attributes, ...token(text.slice(lead(text).length)));
    mark.style.setProperty("--level", shade.toFixed(3));
    return mark;
  }

  // The nodes before and after the firing token, which the space before it is left to.
  function sides({ before, firing, after, levels }, shade) {
    const one = (text, level) => (level ? [lead(text), lit(text, SHARES[level] * shade, { "data-level": level, title: SAID[level] })] : token(text));
    return [
      [...before.flatMap((text, at) => one(text, levels[at])), lead(firing)],
      after.flatMap((text, at) => one(text, levels[before.length + 1 + at])),
    ];
  }

  const middle = ({ firing }, shade) => lit(firing, shade, { "data-middle": "" });

  // On one line, its firing token in the middle; shade is its intensity from 0 to 1.
  function line(context, shade) {
    const side = (name, nodes) => make("span", { class: name }, make("span", { class: "side" }, ...nodes));
    const [before, after] = sides(context, shade);
    return make("span", { class: "context", dir: direction(context) }, side("before", before), middle(context, shade), side("after", after));
  }

  // Over as many lines as it takes.
  function passage(context, shade) {
    const [before, after] = sides(context, shade);
    return make("span", { class: "context passage", dir: direction(context) }, ...before, middle(context, shade), ...after);
  }

  atlas.contexts = { split, line, passage };
})();
