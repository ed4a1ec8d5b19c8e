"use strict";
// How often each norm is, on a logarithmic axis from the threshold up.
(() => {
  const { draw, number } = atlas.words;
  const [WIDTH, HEAD, TALL, FOOT] = [440, 16, 92, 18];
  const BINS = 8;      // to a doubling
  const LETTER = 6.5;  // px
  const GAP = 6;

  // found: columns bin, lower and count; stats: quantiles of the norm. There is none without a threshold.
  function histogram({ bin, lower, count }, { norm_q10, norm_q50, norm_q90 }) {
    const low = Math.log2(lower[0]) - bin[0] / BINS;   // the threshold
    const high = Math.log2(lower.at(-1)) + 1 / BINS;
    const at = (value) => (Math.log2(value) - low) / (high - low) * WIDTH;
    const [most, base, slot] = [Math.max(...count), HEAD + TALL, WIDTH / (high - low) / BINS];
    const picture = draw("svg", {
      class: "histogram", viewBox: `0 0 ${WIDTH} ${base + FOOT}`, role: "img",
      "aria-label": `Norms from ${number(lower[0])} to ${number(2 ** high)}, most often near ${number(lower[count.indexOf(most)])}; threshold ${number(2 ** low)}`,
    });
    lower.forEach((from, place) => {
      const tall = count[place] / most * (TALL - 4);
      picture.append(draw("rect", { x: at(from) + 0.5, y: base - tall, width: Math.max(1, slot - 1), height: tall }));
    });
    picture.append(draw("path", { class: "axis", d: `M0 ${base}.5H${WIDTH}` }), draw("path", { class: "threshold", d: `M0.5 ${HEAD}V${base}` }));
    named(picture, [["threshold", 0], ["10\u202f%", at(norm_q10)], ["half", at(norm_q50)], ["90\u202f%", at(norm_q90)]], base);
    const ticks = Array.from({ length: Math.floor(high - low + 1e-9) + 1 }, (_, doubling) => low + doubling);
    ticks.forEach((tick, place) => {
      const x = at(2 ** tick);
      picture.append(draw("text", { x, y: base + 14, "text-anchor": place === 0 ? "start" : x > WIDTH - 20 ? "end" : "middle" }, number(2 ** tick)));
    });
    return picture;
  }

  // Lines with their names above; a name that would touch the one before it is left to the words below.
  function named(picture, lines, base) {
    let end = -Infinity;
    for (const [name, x] of lines) {
      if (name !== "threshold") picture.append(draw("path", { class: "quantiles", d: `M${x.toFixed(1)} ${HEAD}V${base}` }));
      const [half, isFirst] = [name.length * LETTER / 2, name === "threshold"];
      const middle = isFirst ? half : Math.min(x, WIDTH - half);
      if (middle - half < end + GAP) continue;
      picture.append(draw("text", { x: middle, y: HEAD - 5, "text-anchor": "middle", ...(isFirst ? { class: "of-threshold" } : {}) }, name));
      end = middle + half;
    }
  }

  atlas.histogram = histogram;
})();
