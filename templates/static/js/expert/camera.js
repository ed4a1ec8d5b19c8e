"use strict";
// From where a cloud is seen: the text of it in the address, the named views, turning, moving and zooming, and where on the glass a point lies.
(() => {
  const STEPS = 32000;
  const REACH = 1.04 * STEPS;   // steps from the middle of the frame to its sides
  const ROOM = 1.06;            // of what is drawn to what is in sight: axes end, and marks are whole, there
  const [LEAST, MOST] = [0.4, 60];
  const FAR = 1.734;            // from the eye to what it looks at; without perspective it changes nothing
  const PARTS = ["eye", "center", "up"];

  const plus = (a, b) => a.map((value, at) => value + b[at]);
  const times = (a, factor) => a.map((value) => value * factor);
  const minus = (a, b) => plus(a, times(b, -1));
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const unit = (a) => times(a, 1 / (Math.hypot(...a) || 1));

  const from = (direction, up) => ({ eye: times(unit(direction), FAR), center: [0, 0, 0], up });
  // The first two axes face the reader, as in the list; the third leans in.
  const VIEWS = {
    front: from([0.55, 0.55, 1.55], [0, 1, 0]),
    1: from([1, 0, 0], [0, 1, 0]),
    2: from([0, 1, 0], [0, 0, -1]),
    3: from([0, 0, 1], [0, 1, 0]),
  };

  // Which way is right, up and towards the reader.
  function frame({ eye, center, up }) {
    const near = unit(minus(eye, center));
    const right = unit(cross(up, near));
    return { right, up: cross(near, right), near };
  }

  // How far from the middle of its frame a cloud is seen at first, in steps: whatever is drawn of it stays in sight, however it is turned. What has
  // fewer than three axes is not turned, and fills its frame.
  function reach({ x, y, z, means, origin, sphere, axes }) {
    if (axes.length < 3) return ROOM * STEPS;
    let far = Math.max(STEPS, Math.hypot(...origin) + (sphere ?? 0)) ** 2;
    for (const of of [{ x, y, z }, means]) for (let at = 0; at < of.x.length; at += 1) far = Math.max(far, of.x[at] ** 2 + of.y[at] ** 2 + of.z[at] ** 2);
    return ROOM * Math.sqrt(far);
  }

  // The zoom at which all that reaches so far is in sight.
  const whole = (far) => 2 * REACH / far;

  // The view that a text means: a name, which shows the whole, or ten numbers (eye, what it looks at, up, zoom). Null where it means none. What
  // has fewer than three axes is seen straight on.
  function read(text, axes, zoom) {
    const numbers = (text ?? "").split("_").map(Number);
    if (numbers.length === 10 && numbers.every(Number.isFinite)) {
      const [eye, center, up] = [0, 3, 6].map((at) => numbers.slice(at, at + 3));
      const isSeen = Math.hypot(...cross(up, minus(eye, center))) > 1e-6;
      return isSeen ? { eye, center, up, zoom: Math.max(LEAST, Math.min(MOST, numbers[9])) } : null;
    }
    if (!Object.hasOwn(VIEWS, text ?? "")) return null;
    return { ...VIEWS[axes < 3 ? 3 : text], zoom };
  }

  const write = ({ zoom, ...view }) => [...PARTS.flatMap((part) => view[part]), zoom].map((number) => Number(number.toFixed(2)) || 0).join("_");
  // The name of a view, null where it has none.
  const named = (view, zoom) => Object.keys(VIEWS).find((name) => write({ ...VIEWS[name], zoom }) === write(view)) ?? null;

  // A vector turned about a unit axis (Rodrigues).
  function rotated(vector, axis, angle) {
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    return plus(plus(times(vector, cos), times(cross(axis, vector), sin)), times(axis, dot(axis, vector) * (1 - cos)));
  }

  // Turned to the side about the second axis, then up and down; never over the top, where left and right would change places.
  function turned(view, yaw, pitch) {
    const spun = (vector) => rotated(vector, [0, 1, 0], yaw);
    const away = spun(minus(view.eye, view.center));
    const { right, up, near } = frame({ eye: away, center: [0, 0, 0], up: spun(view.up) });
    const [height, most] = [Math.atan2(near[1], Math.hypot(near[0], near[2])), Math.PI / 2];
    const angle = up[1] < -1e-4 ? pitch : Math.max(-most, Math.min(most, height + pitch)) - height;
    return { ...view, eye: plus(view.center, rotated(away, right, -angle)), up: rotated(up, right, -angle) };
  }

  // Moved on the glass, by shares of half its height.
  function moved(view, across, down) {
    const { right, up } = frame(view);
    const by = plus(times(right, -across), times(up, down));
    return { ...view, eye: plus(view.eye, by), center: plus(view.center, by) };
  }

  // Zoomed about a place on the glass, in halves of its height from the middle. Where all is in sight, as at `least`, it is in the middle again.
  function zoomed(view, factor, least, across = 0, down = 0) {
    const zoom = Math.max(LEAST, Math.min(MOST, view.zoom * factor));
    const ratio = zoom / view.zoom;
    const { right, up } = frame(view);
    const aside = plus(times(right, across), times(up, -down));
    const center = zoom <= least ? [0, 0, 0] : plus(times(view.center, ratio), times(aside, ratio - 1));
    return { ...view, eye: plus(center, minus(view.eye, view.center)), center, zoom };
  }

  // A view on the way from one to another.
  function between(one, other, share) {
    if (share >= 1) return other;
    const mix = (a, b) => plus(times(a, 1 - share), times(b, share));
    const [start, end] = [frame(one), frame(other)];
    const near = unit(mix(start.near, end.near));
    const center = mix(one.center, other.center);
    const view = { eye: plus(center, times(near, FAR)), center, up: mix(start.up, end.up), zoom: one.zoom * (other.zoom / one.zoom) ** share };
    return Math.hypot(...cross(view.up, near)) > 0.05 ? view : other;   // they face each other
  }

  // Zoom is of a glass at least as wide as high; in a narrower one the width has to hold what the height held. A single axis always lies across.
  const fit = (axes, width, height) => (axes === 1 ? width / height : Math.min(1, width / height));

  // Where on a glass of this size, in px from its left and top, a place in steps is seen, and how near.
  function projection(view, axes, width, height) {
    const { right, up, near } = frame(view);
    const scale = view.zoom * fit(axes, width, height) / (2 * REACH);
    const half = height / 2;
    return (x, y, z) => {
      const place = [x * scale - view.center[0], y * scale - view.center[1], z * scale - view.center[2]];
      return [width / 2 + dot(place, right) * half, half - dot(place, up) * half, dot(place, near)];
    };
  }

  atlas.camera = { STEPS, REACH, reach, whole, read, write, named, turned, moved, zoomed, between, fit, projection };
})();
