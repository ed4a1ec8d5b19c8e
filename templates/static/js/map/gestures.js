"use strict";
// Mouse, pen, fingers and wheel over the map, told as what is meant: to point, to click, to move, to zoom, to draw.
(() => {
  const STILL = 4;        // px that a click may move
  const SCROLLED = 300;   // ms after which a wheel over the map is meant for it
  const LINE = 16;        // px of a wheel's step that is told in lines

  class Gestures {
    #map; #canvas; #down = null; #fingers = null; #scrolled = -Infinity;

    // map: has tool, isWhole, swipes (whether a finger moves it), and point, leave, click, pan, zoom, begin, to, end, giveUp, settle.
    constructor(canvas, map) {
      [this.#canvas, this.#map] = [canvas, map];
      // In the capture phase: the list scrolls in an element of its own.
      document.addEventListener("scroll", () => { this.#scrolled = performance.now(); }, { passive: true, capture: true });
      canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
      canvas.addEventListener("pointerdown", (event) => this.#press(event));
      canvas.addEventListener("pointermove", (event) => this.#move(event));
      canvas.addEventListener("pointerup", (event) => this.#release(event));
      canvas.addEventListener("pointercancel", () => this.#stop());
      canvas.addEventListener("pointerleave", ({ pointerType }) => { if (pointerType !== "touch" && !this.#down) map.leave(); });
      this.#listenToFingers(canvas.parentElement);   // also where a label lies over it
    }

    // The whole map lets the page scroll on; so does a wheel that was scrolling the page when the map came under it.
    #wheel(event) {
      const isPinch = event.ctrlKey;
      if (!isPinch && (performance.now() - this.#scrolled < SCROLLED || (event.deltaY > 0 && this.#map.isWhole))) return;
      event.preventDefault();
      const px = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : LINE);
      this.#map.zoom(Math.exp(-px * (isPinch ? 0.01 : 0.002)), event.offsetX, event.offsetY);
    }

    // A finger moves the page unless it draws; with Shift a mouse draws a rectangle, whatever the tool is.
    #press(event) {
      if (event.button !== 0 || !event.isPrimary) return;
      const tool = event.shiftKey ? "rectangle" : this.#map.tool;
      const scrolls = event.pointerType === "touch" && tool === "move" && !this.#map.swipes;
      if (!scrolls) this.#canvas.setPointerCapture(event.pointerId);
      this.#down = { x: event.offsetX, y: event.offsetY, moved: false, tool, scrolls };
    }

    #move(event) {
      if (!this.#down) {
        if (event.pointerType !== "touch") this.#map.point(event);
        return;
      }
      const { offsetX: x, offsetY: y } = event;
      const { tool, scrolls } = this.#down;
      if (scrolls || this.#fingers || (!this.#down.moved && Math.hypot(x - this.#down.x, y - this.#down.y) < STILL)) return;
      if (!this.#down.moved) this.#map.begin(tool, this.#down.x, this.#down.y);
      if (tool === "move") this.#map.pan(x - this.#down.x, y - this.#down.y);
      else this.#map.to(x, y);
      Object.assign(this.#down, { x, y, moved: true });
    }

    #release(event) {
      const down = this.#down;
      this.#down = null;
      if (!down || this.#fingers) return;
      if (down.moved) this.#map.end(down.tool);
      else this.#map.click(event);
    }

    // What was begun with the pointer is left as it is.
    #stop() {
      if (this.#down?.moved) this.#map.giveUp();
      this.#down = null;
    }

    // Until the pointer is lifted, what it does means nothing more.
    forget() { this.#down = null; }

    // One finger scrolls the page, which would else be caught in the map; two move and zoom it.
    #listenToFingers(plane) {
      const read = ({ touches: [one, other] }) => {
        const { left, top } = plane.getBoundingClientRect();
        return {
          x: (one.clientX + other.clientX) / 2 - left, y: (one.clientY + other.clientY) / 2 - top,
          apart: Math.max(1, Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY)),
        };
      };
      plane.addEventListener("touchstart", (event) => {
        if (event.touches.length !== 2) return;
        event.preventDefault();
        this.#stop();
        this.#fingers = read(event);
      }, { passive: false });
      plane.addEventListener("touchmove", (event) => {
        if (event.touches.length !== 2 || !this.#fingers) return;
        event.preventDefault();
        const now = read(event);
        this.#map.pan(now.x - this.#fingers.x, now.y - this.#fingers.y);
        this.#map.zoom(now.apart / this.#fingers.apart, now.x, now.y);
        this.#fingers = now;
      }, { passive: false });
      const lift = ({ touches }) => {
        if (touches.length || !this.#fingers) return;
        this.#fingers = null;
        this.#map.settle();
      };
      for (const type of ["touchend", "touchcancel"]) plane.addEventListener(type, lift);
    }
  }

  atlas.gestures = { Gestures };
})();
