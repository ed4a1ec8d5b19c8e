"use strict";
// A cloud on a 2-D canvas, seen without perspective: the list's small pictures, and the scene where WebGL is missing.
(() => {
  const { load, array } = atlas.payloads;
  const VIEW = { yaw: 0.34, pitch: 0.32 };   // the scene's first camera, seen from the same side
  const STRAIGHT = { yaw: 0, pitch: 0 };     // what has no third axis is seen straight on
  const PICTURE = { width: 148, height: 112 };
  const PILES = 32;   // across a small picture

  function projection({ yaw, pitch }) {
    const [sy, cy, sp, cp] = [Math.sin(yaw), Math.cos(yaw), Math.sin(pitch), Math.cos(pitch)];
    return (x, y, z) => [x * cy - z * sy, -x * sy * sp + y * cp - z * cy * sp, x * sy * cp + y * sp + z * cy * cp];
  }

  // Gives the canvas its size in device pixels and a context measured in CSS pixels from the middle up.
  function prepare(canvas, width, height) {
    const ratio = Math.min(devicePixelRatio || 1, 2);
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, -ratio, canvas.width / 2, canvas.height / 2);
    return pen;
  }

  // points: [{ x, y, z, colour }] within reach 1 of the middle.
  function dots(pen, points, view, { scale, radius, solid = false }) {
    const project = projection(view);
    const placed = points.map((point) => ({ at: project(point.x, point.y, point.z), colour: point.colour }));
    placed.sort((one, other) => one.at[2] - other.at[2]);
    for (const { at: [x, y, depth], colour } of placed) {
      pen.globalAlpha = solid ? 1 : 0.7 + 0.25 * Math.max(-1, Math.min(1, depth));   // what lies behind is paler
      pen.fillStyle = colour;
      pen.beginPath();
      pen.arc(x * scale, y * scale, radius, 0, 2 * Math.PI);
      pen.fill();
    }
    pen.globalAlpha = 1;
  }

  // Heights for numbers on one axis: those that fall into one of `columns` stand above each other, in their order. A pile is at most
  // a third as high as the axis is long.
  function piles(numbers, columns) {
    let [low, high] = [Infinity, -Infinity];
    for (const number of numbers) [low, high] = [Math.min(low, number), Math.max(high, number)];
    const span = high - low || 1;
    const tall = new Uint32Array(columns);
    const place = Array.from(numbers, (number) => tall[Math.min(columns - 1, Math.floor((number - low) / span * columns))]++);
    const step = span * Math.min(1 / columns, 1 / 3 / Math.max(1, ...tall));
    return place.map((at) => at * step);
  }

  // The points of an expert's small picture, by its row of the manifest: { x, y, z, label } within reach 1 of the middle; label is
  // -1 where there is none. `view` is where they are first seen from.
  async function small(manifest, row) {
    const size = manifest.shards.clouds;
    const shard = await load(`clouds/${Math.floor(row / size)}`);
    shard.decoded ??= { xyz: array(shard.xyz), label: array(shard.label), starts: starts(shard.points) };
    const { xyz, label, starts: from } = shard.decoded;
    const first = from[row % size];
    const points = Array.from({ length: shard.points[row % size] }, (_, index) => {
      const at = first + index;
      return { x: xyz[3 * at] / 127, y: xyz[3 * at + 1] / 127, z: xyz[3 * at + 2] / 127, label: label[at] - 1 };
    });
    if (points.length && points.every(({ y, z }) => y === 0 && z === 0)) pile(points);
    return points;
  }

  function pile(points) {
    const heights = piles(points.map(({ x }) => x), PILES);
    const middle = Math.max(...heights) / 2;
    points.forEach((point, at) => { point.y = heights[at] - middle; });
  }

  const isFlat = (points) => points.every(({ z }) => z === 0);

  // Draws a small picture, turned by `yaw` from where it is first seen. `colours` are of the labels.
  function picture(canvas, points, colours, yaw = 0) {
    const plain = getComputedStyle(canvas).color;
    const first = isFlat(points) ? STRAIGHT : VIEW;
    for (const point of points) point.colour = colours[point.label] ?? plain;
    const pen = prepare(canvas, PICTURE.width, PICTURE.height);
    dots(pen, points, { ...first, yaw: first.yaw + yaw }, { scale: fitted(points, first), radius: 1.6 });
  }

  // The largest scale at which a cloud stays in its picture while it turns about the upright axis.
  function fitted(points, { pitch }) {
    const tilt = [Math.cos(pitch), Math.sin(pitch)];
    const wide = Math.max(0.1, ...points.map(({ x, z }) => Math.hypot(x, z)));
    const high = Math.max(0.1, ...points.map(({ x, y, z }) => Math.abs(y) * tilt[0] + Math.hypot(x, z) * tilt[1]));
    return Math.min((PICTURE.width / 2 - 5) / wide, (PICTURE.height / 2 - 5) / high);
  }

  function starts(counts) {
    let total = 0;
    return counts.map((number) => (total += number) - number);
  }

  atlas.cloud = { VIEW, STRAIGHT, PICTURE, projection, prepare, dots, piles, small, isFlat, picture };
})();
