"use strict";
// A cloud on a 2-D canvas, seen without perspective: the list's small pictures.
(() => {
  const { load, array } = atlas.payloads;
  const VIEW = { yaw: 0.34, pitch: 0.32 };   // the scene's first camera, seen from the same side
  const STRAIGHT = { yaw: 0, pitch: 0 };     // what has no third axis is seen straight on
  const PICTURE = { width: 148, height: 112 };
  const PILES = 32;   // across a small picture
  const MARGIN = 5;
  const PLANES = 6;   // of depth in a small picture: dots of one colour in one plane are filled at once
  const CYCLE = 2 * Math.PI;
  const TURN = 0.5;   // radians a second

  // Gives the canvas its size in device pixels, empty, and a context measured in CSS pixels from the middle up.
  function prepare(canvas, width, height) {
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const [wide, high] = [width, height].map((px) => Math.round(px * ratio));
    if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });   // which costs more than to clear it
    const pen = canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, wide, high);
    pen.setTransform(ratio, 0, 0, -ratio, canvas.width / 2, canvas.height / 2);
    return pen;
  }

  // What lies behind is paler.
  const opacity = (depth) => 0.7 + 0.25 * Math.max(-1, Math.min(1, depth));

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

  const shardOf = (manifest, row) => `clouds/${Math.floor(row / manifest.shards.clouds)}`;

  // What a shard was read to stays with it: whoever lets go of the shard lets go of both.
  function decoded(shard) {
    return (shard.decoded ??= { xyz: array(shard.xyz), label: array(shard.label), starts: starts(shard.points) });
  }

  // An expert's small cloud, by its row of the manifest: coordinates `xyz` within reach 1 of the middle; `label` counts from 1, with 0
  // where there is none; how far it reaches sideways and upwards while it turns; `context`, its strongest, where the bake gave one.
  async function small(manifest, row) {
    const shard = await load(shardOf(manifest, row));
    const at = row % manifest.shards.clouds;
    const { xyz: all, label, starts: from } = decoded(shard);
    const [first, count] = [from[at], shard.points[at]];
    const xyz = Float32Array.from(all.subarray(3 * first, 3 * (first + count)), (step) => step / 127);
    const axes = deepest(xyz);
    if (count && axes === 1) pile(xyz);
    const { pitch } = axes === 3 ? VIEW : STRAIGHT;
    const { context } = shard;
    return {
      count, xyz, label: label.subarray(first, first + count), isFlat: axes < 3, ...reach(xyz, pitch),
      context: context ? { before: context.before[at], token: context.token[at], after: context.after[at] } : null,
    };
  }

  // The last axis that any point leaves: 1, 2 or 3.
  function deepest(xyz) {
    let axes = 1;
    for (let at = 0; at < xyz.length && axes < 3; at += 3) if (xyz[at + 2] !== 0) axes = 3; else if (xyz[at + 1] !== 0) axes = 2;
    return axes;
  }

  function pile(xyz) {
    const heights = piles(xyz.filter((_, at) => at % 3 === 0), PILES);
    const middle = Math.max(...heights) / 2;
    heights.forEach((height, at) => { xyz[3 * at + 1] = height - middle; });
  }

  function reach(xyz, pitch) {
    let [wide, high] = [0.1, 0.1];
    for (let at = 0; at < xyz.length; at += 3) {
      const across = Math.hypot(xyz[at], xyz[at + 2]);
      wide = Math.max(wide, across);
      high = Math.max(high, Math.abs(xyz[at + 1]) * Math.cos(pitch) + across * Math.sin(pitch));
    }
    return { wide, high };
  }

  let [order, places] = [new Float64Array(64), new Float64Array(128)];   // kept from picture to picture

  // Draws a small picture, turned by `yaw` from where it is first seen. `colours` are of the labels.
  function picture(canvas, cloud, colours, yaw = 0, { width, height, radius = 1.6 } = PICTURE) {
    const { count, xyz, label, wide, high, isFlat } = cloud;
    if (order.length < count) [order, places] = [new Float64Array(count), new Float64Array(2 * count)];
    const first = isFlat ? STRAIGHT : VIEW;
    const scale = Math.min((width / 2 - MARGIN) / wide, (height / 2 - MARGIN) / high);
    const [sy, cy, sp, cp] = [Math.sin(first.yaw + yaw), Math.cos(first.yaw + yaw), Math.sin(first.pitch), Math.cos(first.pitch)];
    for (let at = 0; at < count; at += 1) {
      const [x, y, z] = [xyz[3 * at], xyz[3 * at + 1], xyz[3 * at + 2]];
      places[2 * at] = (x * cy - z * sy) * scale;
      places[2 * at + 1] = (-x * sy * sp + y * cp - z * cy * sp) * scale;
      const depth = x * sy * cp + y * sp + z * cy * cp;
      const plane = Math.max(0, Math.min(PLANES - 1, Math.floor((depth + 1) / 2 * PLANES)));
      order[at] = (plane * 65536 + label[at]) * 65536 + at;   // from behind, colour by colour
    }
    const pen = prepare(canvas, width, height);
    const plain = quiet(canvas);
    const drawn = order.subarray(0, count).sort();
    let open = -1;
    for (const key of drawn) {
      const [group, at] = [Math.floor(key / 65536), key % 65536];
      if (group !== open) {
        if (open >= 0) pen.fill();
        open = group;
        const plane = Math.floor(group / 65536);
        pen.globalAlpha = opacity((plane + 0.5) / PLANES * 2 - 1);
        pen.fillStyle = colours[group % 65536 - 1] ?? plain;
        pen.beginPath();
      }
      const [x, y] = [places[2 * at], places[2 * at + 1]];
      pen.moveTo(x + radius, y);
      pen.arc(x, y, radius, 0, CYCLE);
    }
    if (open >= 0) pen.fill();
    pen.globalAlpha = 1;
  }

  // Calls paint(yaw) for each frame until it returns false.
  function turn(paint) {
    const start = performance.now();
    const frame = (now) => { if (paint(TURN * Math.max(0, now - start) / 1000)) requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
  }

  const plain = new Map();   // scheme ► the colour of dots without a label; asked for once, since the answer costs a layout

  function quiet(canvas) {
    const scheme = atlas.scheme.name();
    if (!plain.has(scheme)) plain.set(scheme, getComputedStyle(canvas).color);
    return plain.get(scheme);
  }

  function starts(counts) {
    let total = 0;
    return counts.map((number) => (total += number) - number);
  }

  atlas.cloud = { PICTURE, piles, shardOf, small, picture, turn };
})();
