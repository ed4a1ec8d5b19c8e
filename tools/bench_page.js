"use strict";
// What tools/bench_site.py puts into a page before its own scripts: when frames were painted, what changed, and what took long.
(() => {
  const LIST = "[aria-label='Experts']";
  const QUIET = 400;        // ms without a change, after which a change was the last one
  const PATIENCE = 20_000;  // ms
  const KEPT = 2_000;       // frames
  const frames = new Map(); // number -> { start, end, spent }: of each frame, and ms of the page's own work in it
  const longest = [];
  const later = requestAnimationFrame.bind(window);
  let number = 0;
  let isRendering = false;
  let spent = 0;

  // A task that a frame queues comes after it is painted, as far as the main thread has a part in that.
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = ({ data: painted }) => {   // late where the next frame has already begun
    Object.assign(frames.get(painted), { end: performance.now(), spent });
    frames.delete(painted - KEPT);
    isRendering = painted < number;
    spent = 0;
  };
  const turn = () => {
    number += 1;
    isRendering = true;
    frames.set(number, { start: performance.now(), end: null, spent: 0 });
    port2.postMessage(number);
    later(turn);
  };
  later(turn);

  function timed(act, given) {
    const began = performance.now();
    try { act(given); } finally { spent += performance.now() - began; }
  }
  window.requestAnimationFrame = (act) => later((now) => timed(act, now));
  for (const type of ["pointermove", "mousemove"]) {
    let began = 0;
    addEventListener(type, () => { began = performance.now(); }, { capture: true });
    addEventListener(type, () => { spent += performance.now() - began; });
  }

  new PerformanceObserver((seen) => { for (const { startTime, duration } of seen.getEntries()) longest.push({ startTime, duration }); }).observe({ type: "longtask", buffered: true });

  const until = (asked) => new Promise((resolve, reject) => {
    const began = performance.now();
    const look = () => {
      const answer = asked();
      if (answer) resolve(answer);
      else if (performance.now() - began > PATIENCE) reject(new Error(`nothing came of ${asked}`));
      else later(look);
    };
    look();
  });
  const frame = () => new Promise((resolve) => { later(resolve); });

  // ms from the start of the navigation until the list stands with its texts and its count, and two frames were answered.
  async function usable() {
    await until(() => /\d/.test(document.querySelector("[data-count]")?.textContent ?? "") && document.querySelector(`${LIST} li`)?.textContent.trim());
    await frame();
    await frame();
    return performance.now();
  }

  // What a change of the page takes: from the next event of a type until the last change of these parts (and of the map, if it is
  // to be drawn) is painted.
  function change(type, parts, withMap) {
    let [at, last] = [null, null];
    const mark = () => { if (at !== null) last = { now: performance.now(), frame: isRendering ? number : number + 1 }; };
    const observer = new MutationObserver(mark);
    for (const part of document.querySelectorAll(parts)) observer.observe(part, { childList: true, characterData: true, subtree: true });
    const map = document.querySelector("[data-map] canvas");
    const drawn = withMap && map ? watched(map, mark) : () => {};
    addEventListener(type, (event) => { at = event.timeStamp; }, { capture: true, once: true });
    return until(() => last && performance.now() - last.now > QUIET && frames.get(last.frame)?.end).then((painted) => {
      observer.disconnect();
      drawn();
      return painted - at;
    });
  }

  function watched(canvas, mark) {
    const pen = canvas.getContext("2d");
    const names = ["clearRect", "putImageData", "drawImage", "fillText"];
    for (const name of names) pen[name] = (...given) => { mark(); CanvasRenderingContext2D.prototype[name].apply(pen, given); };
    return () => { for (const name of names) delete pen[name]; };
  }

  // Of the frames since a number: ms from one to the next, and ms of the page's own work in each that had any.
  function painted(since) {
    const those = [...frames].filter(([at, { end }]) => at > since && end !== null).map(([, told]) => told);
    return {
      apart: those.slice(1).map(({ start }, at) => start - those[at].start),
      own: those.map(({ spent: own }) => own).filter((own) => own > 0.05),
    };
  }

  // Resolves once nothing has changed in the page for a while.
  function settled(quiet) {
    let last = performance.now();
    const observer = new MutationObserver(() => { last = performance.now(); });
    observer.observe(document.body, { childList: true, characterData: true, subtree: true });
    return until(() => performance.now() - last > quiet).then(() => observer.disconnect());
  }

  // What a cloud takes: from the next event of a type until its scene has said for the last time that it stands, and a frame more is
  // painted: the library draws in the frame after.
  function stands(type) {
    let [at, last] = [null, null];
    const observer = new MutationObserver(() => { if (at !== null) last = { now: performance.now(), frame: number + 1 }; });
    observer.observe(document.querySelector("[data-scene]"), { attributes: true, attributeFilter: ["data-ready"] });
    addEventListener(type, (event) => { at = event.timeStamp; }, { capture: true, once: true });
    return until(() => last && performance.now() - last.now > QUIET && frames.get(last.frame)?.end).then((painted) => {
      observer.disconnect();
      return painted - at;
    });
  }

  let lost = 0;   // WebGL contexts of canvases in the page that the browser took away
  addEventListener("webglcontextlost", () => { lost += 1; }, { capture: true });

  const longer = (since) => longest.filter(({ startTime }) => startTime > since).map(({ duration }) => duration);
  globalThis.bench = { usable, change, stands, painted, settled, frame, longer, get number() { return number; }, get lost() { return lost; } };
})();
