"use strict";
// Names beside marks, placed so that none lies over another or over a mark: above its own, else below, else to a side, and if it can be helped not
// nearer to another's. A name that finds no place is left out, its mark stays.
(() => {
  const FONT = 12;    // px
  const LINE = 15;    // px from line to line
  const GAP = 5;      // px from a mark to its name
  const EDGE = 4;     // px from a name to the edge of the picture
  const MOST = 28;    // characters of a name that is drawn; the key has it whole

  // A name as it is drawn: cut, with a name for what cannot be seen or would turn it around.
  function short(text) {
    const signs = Array.from(atlas.words.spelled(text));
    return signs.length > MOST ? `${signs.slice(0, MOST - 1).join("").trimEnd()}…` : signs.join("");
  }

  let pen = null;
  // How wide a text is drawn, in px.
  function width(text, family) {
    pen ??= document.createElement("canvas").getContext("2d");
    pen.font = `${FONT}px ${family}`;
    return pen.measureText(text).width;
  }

  const touch = (one, other) => one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;

  // The ways a name can stand at its mark, as the middle of the name.
  function ways({ left, top, radius, width: wide }) {
    const [up, aside] = [radius + GAP + LINE / 2, radius + GAP + wide / 2];
    const places = [[left, top - up], [left, top + up], [left + aside, top], [left - aside, top], [left + aside, top - up], [left - aside, top - up]];
    return radius > 0 ? places : [...places, [left, top - up - LINE], [left, top + up + LINE]];
  }

  // How far a place is from a box, in px.
  const away = ({ left, top }, box) => Math.hypot(left - Math.max(box.left, Math.min(box.right, left)), top - Math.max(box.top, Math.min(box.bottom, top)));

  const around = ([left, top], wide) => ({ left: left - wide / 2, right: left + wide / 2, top: top - LINE / 2, bottom: top + LINE / 2 });

  // names: [{ left, top, radius, width, before }], marks in px with the width of each name, and which way it stood before, if any. ► for each the
  // middle of its name and the way it stands, or null. What comes first has the first choice. What has no mark has a radius below 0.
  function place(names, wide, high) {
    const inSight = ({ left, top }) => left >= 0 && left <= wide && top >= 0 && top <= high;
    const marks = names.filter(({ radius }) => radius > 0);
    const kept = [];
    return names.map((name) => {
      if (!inSight(name) || name.width + 2 * EDGE > wide) return null;
      const all = ways(name).map(([left, top], way) => {
        const half = name.width / 2 + EDGE;
        const middle = [Math.max(half, Math.min(wide - half, left)), Math.max(LINE / 2, Math.min(high - LINE / 2, top))];
        return { way, middle, box: around(middle, name.width) };
      });
      if (name.before > 0) all.unshift(...all.splice(name.before, 1));   // a name that hops is hard to read
      const free = all.filter(({ box }) => !kept.some((other) => touch(box, other)) && !marks.some((mark) => away(mark, box) < mark.radius));
      const best = free.find(({ box }) => marks.every((mark) => away(mark, box) >= away(name, box))) ?? free[0];
      if (!best) return null;
      kept.push(best.box);
      return { left: best.middle[0], top: best.middle[1], way: best.way };
    });
  }

  atlas.names = { FONT, short, width, place };
})();
