"use strict";
// A cloud on a 2-D canvas, seen without perspective: the list's small pictures, and the scene where WebGL is missing.
(() => {
  const VIEW = { yaw: 0.34, pitch: 0.32 };   // the scene's first camera, seen from the same side

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

  atlas.cloud = { VIEW, projection, prepare, dots };
})();
