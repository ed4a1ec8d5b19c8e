"use strict";
// The score strip: an axis from 0 to 1, a dot with its interval, and ticks for what is reached without any expert. A strip is of one
// measure: an R² or a balanced accuracy, each beside references of its own kind.
(() => {
  const { draw, score } = atlas.words;
  const REFERENCES = {
    chance: { title: "chance", rise: 5 },
    random_projection: { title: "best random projection", rise: 7 },
    top_components: { title: "top components", rise: 5 },
    word_embedding: { title: "word embedding", rise: 5 },
  };
  const clip = (value) => Math.max(0, Math.min(1, value));

  // What is reached without any expert, in words.
  const without = (references) => Object.entries(references).map(([name, reached]) => `${REFERENCES[name].title} ${score(reached)}`);

  function spoken({ of, measure, value, low, high }, references) {
    return [`${of}: ${measure} ${score(value)}, 95 % interval ${score(low)} to ${score(high)}`, ...without(references)].join("; ");
  }

  // Label rows under a long strip: each label goes to the first row where it touches no other.
  function rows(references, width, at) {
    const ends = [];
    return Object.entries(references).sort((one, other) => one[1] - other[1]).map(([name, reached]) => {
      const text = `${REFERENCES[name].title} ${score(reached)}`;
      const half = text.length * 3.2 + 4;
      const middle = Math.max(half, Math.min(width - half, at(reached)));
      let row = ends.findIndex((end) => end < middle - half);
      if (row < 0) row = ends.push(0) - 1;
      ends[row] = middle + half;
      return { of: REFERENCES[name].title, reached, text, middle, row };
    });
  }

  // result: { of, measure, value, low, high }; references: name -> value. `long` writes the references' names below the axis.
  function strip(result, references, { width, long = false }) {
    const pad = 5;
    const at = (value) => pad + clip(value) * (width - 2 * pad);
    const labels = long ? rows(references, width, at) : [];
    const depth = labels.reduce((most, { row }) => Math.max(most, row + 1), 0);
    const height = 16 + 14 * depth;
    const hollow = result.value <= (references.random_projection ?? -Infinity);
    const picture = draw("svg", { class: "strip", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": spoken(result, references) });
    picture.append(draw("title", {}, spoken(result, references)));
    picture.append(draw("path", { class: "axis", d: `M${at(0)} 8H${at(1)}M${at(0)} 5v6M${at(1)} 5v6` }));
    for (const [name, reached] of Object.entries(references)) {
      const { rise } = REFERENCES[name];
      picture.append(draw("path", { class: `reference ${name}`, d: `M${at(reached)} ${8 - rise}v${2 * rise}` }));
    }
    for (const { of, text, middle, row, reached } of labels) {
      picture.append(draw("path", { class: "leader", d: `M${at(reached)} 15v${3 + 14 * row}` }));
      picture.append(draw("text", { class: "reference-name", x: middle, y: 27 + 14 * row, "text-anchor": "middle", "data-term": of }, text));
    }
    picture.append(draw("path", { class: "interval", d: `M${at(result.low)} 8H${at(result.high)}` }));
    picture.append(draw("circle", { class: hollow ? "dot hollow" : "dot", cx: at(result.value), cy: 8, r: 3.5 }));
    return picture;
  }

  atlas.strip = Object.assign(strip, { without });
})();
