"use strict";
// Where the points of a cloud lie: as the model sees them, what the expert adds to the residual stream, or as the gate does, its codes.
(() => {
  const STEPS = 32000;
  const AXES = ["x", "y", "z"];

  // As the model sees it: the payload's own steps.
  function model(points) {
    const { x, y, z, unit, origin, means } = points;
    return { x, y, z, unit, origin, means, sphere: null };
  }

  // As the gate sees it: contributions taken to codes, in steps of their own, with the sphere of the threshold round the origin.
  function gate(points, { matrix: [xx, xy, xz, yy, yz, zz], threshold }) {
    const rows = [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]];
    const coded = (of) => {
      const count = of.x.length;
      const code = AXES.map(() => new Float64Array(count));
      for (let at = 0; at < count; at += 1) {
        const away = AXES.map((axis, place) => (of[axis][at] - points.origin[place]) * points.unit);
        for (let place = 0; place < 3; place += 1) code[place][at] = rows[place][0] * away[0] + rows[place][1] * away[1] + rows[place][2] * away[2];
      }
      return code;
    };
    const [codes, marks] = [coded(points), coded(points.means)];
    const middle = new Array(3);
    let reach = 0;
    for (let place = 0; place < 3; place += 1) {
      const isUsed = codes[place].some((value) => value !== 0);
      const ends = isUsed ? [-threshold, threshold, ...codes[place], ...marks[place]] : [0];
      const [low, high] = [ends.reduce((least, one) => Math.min(least, one)), ends.reduce((most, one) => Math.max(most, one))];
      middle[place] = (low + high) / 2;
      reach = Math.max(reach, (high - low) / 2);
    }
    const unit = (reach || 1) / STEPS;
    const stepped = (values, place) => Int16Array.from(values, (value) => Math.round((value - middle[place]) / unit));
    const [x, y, z] = codes.map(stepped);
    const [mx, my, mz] = marks.map((values, place) => Array.from(stepped(values, place)));
    return { x, y, z, unit, origin: middle.map((value) => Math.round(-value / unit)), means: { ...points.means, x: mx, y: my, z: mz }, sphere: threshold / unit };
  }

  atlas.views = { model, gate };
})();
