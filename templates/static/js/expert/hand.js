"use strict";
// What pointer and keys do to a scene. Hits are by the camera's own projection, so that they are where the eye sees them.
(() => {
  const REACH = { mouse: 8, pen: 8, touch: 18 };   // px from a pointer to a point that it means
  const UNDER = 2.5;    // px: what is drawn under the pointer itself; the nearest to the eye is meant
  const STEP = 0.1;     // radians, or halves of the scene's height
  const ZOOM = 1.25;
  const PAUSE = 200;    // ms after the last step of a wheel or a key until the address hears of it

  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

  // Keys of a scene that has the focus. The help is written from it.
  const KEYS = [
    { keys: Object.keys(arrows), says: "Turn the cloud; move one without a third axis", act: (hand, key) => hand.step(...arrows[key]) },
    { keys: ["+", "-"], says: "Nearer, farther", act: (hand, key) => hand.closer(key === "+" ? ZOOM : 1 / ZOOM) },
    { keys: ["0"], says: "As it was at first", act: (hand) => hand.scene.camera("reset") },
    { keys: ["1", "2", "3"], says: "Look along the first, second, third axis", act: (hand, key) => hand.scene.camera(key) },
    { keys: [".", ","], says: "To the next point, the one before; the strongest first", act: (hand, key) => hand.walk(key === "." ? 1 : -1) },
    { keys: ["Enter"], says: "Pin the point", act: (hand) => hand.pin() },
    { keys: ["s"], says: "Choose all points in sight", act: (hand) => hand.scene.selectInSight() },
    { keys: ["Escape"], says: "Give up a rectangle; else stop the spin; else unpin", act: (hand) => hand.back() },
  ];

  class Hand {
    #says; #glass; #gestures; #outline = null; #settling = null; #walked = false;
    tool = "move";
    swipes = true;   // a finger that goes sideways turns, one that goes up or down scrolls the page

    // scene: has view, whole, look, project, cloud, hovered, pinned, hover, camera, selectInSight, settled, spin, isSpinning.
    constructor(scene, box, glass, says) {
      [this.scene, this.#glass, this.#says] = [scene, glass, says];
      this.#gestures = new atlas.gestures.Gestures(glass.element, this);
      box.setAttribute("aria-keyshortcuts", KEYS.flatMap(({ keys }) => keys).join(" "));
      box.addEventListener("keydown", (event) => this.#key(event));
      box.addEventListener("blur", () => { if (this.#walked) this.leave(); });
      // Before the page's own keys: Escape gives up a rectangle and nothing else.
      addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || !this.#outline) return;
        event.stopPropagation();
        this.#gestures.forget();
        this.giveUp();
      }, { capture: true });
    }

    use(tool) {
      this.tool = tool === "select" ? "rectangle" : "move";
      this.#glass.element.classList.toggle("selects", tool === "select");
    }

    #key(event) {
      if (event.ctrlKey || event.altKey || event.metaKey || !this.scene.cloud) return;
      const key = event.key === "=" ? "+" : event.key;   // the same key without Shift
      const found = KEYS.find(({ keys }) => keys.includes(key));
      if (!found || found.act(this, key) === false) return;
      event.preventDefault();
      if (key === "Escape") event.stopPropagation();
    }

    // --- keys ---

    step(right, up) {
      const { view, cloud } = this.scene;
      this.scene.spin(false);
      this.scene.look(cloud.axes.length < 3 ? atlas.camera.moved(view, -STEP * right, STEP * up) : atlas.camera.turned(view, STEP * right, STEP * up));
      this.settle();
    }

    closer(factor) {
      this.scene.look(atlas.camera.zoomed(this.scene.view, factor, this.scene.whole));
      this.settle();
    }

    walk(by) {
      const { cloud, hovered, pinned } = this.scene;
      const count = cloud.x.length;
      const order = cloud.order ?? Array.from({ length: count }, (_, at) => at);
      const at = order.indexOf(hovered ?? pinned);
      this.#walked = true;
      this.scene.hover(order[at < 0 ? (by > 0 ? 0 : count - 1) : (at + by + count) % count]);
    }

    pin() {
      if (this.scene.hovered === null) return false;
      this.#says.pin(this.scene.hovered);
    }

    back() {
      if (this.scene.isSpinning) this.scene.spin(false);
      else if (this.tool === "rectangle") this.scene.tool("turn");
      else if (this.scene.pinned !== null) this.#says.pin(null);
      else if (this.scene.hovered !== null) this.leave();
      else return false;
    }

    // --- what atlas.gestures tells ---

    // The whole cloud lets the page scroll on.
    get isWhole() { return !this.scene.cloud || this.scene.view.zoom <= this.scene.whole; }

    leave() {
      this.#walked = false;
      this.scene.hover(null);
    }

    point(event) {
      this.#walked = false;
      this.scene.hover(this.#hit(event));
    }

    click(event) { if (this.scene.cloud) this.#says.pin(this.#hit(event)); }

    begin(tool, x, y) {
      if (!this.scene.cloud) return;
      this.leave();
      this.scene.spin(false);
      if (tool !== "move") this.#outline = new atlas.lasso.Outline("rectangle", x, y);
      this.#glass.element.classList.add("held");
    }

    pan(dx, dy) {
      const { view, cloud, height } = this.scene;
      if (!cloud) return;
      this.scene.look(cloud.axes.length < 3 ? atlas.camera.moved(view, 2 * dx / height, 2 * dy / height) : atlas.camera.turned(view, -Math.PI * dx / height, Math.PI * dy / height));
    }

    zoom(factor, x, y) {
      const { view, cloud, width, height } = this.scene;
      if (!cloud) return;
      this.leave();
      this.scene.look(atlas.camera.zoomed(view, factor, this.scene.whole, (2 * x - width) / height, (2 * y - height) / height));
      this.settle();
    }

    to(x, y) {
      this.#outline?.to(x, y);
      if (this.#outline) this.#glass.rectangle(this.#outline.corners);
    }

    end(tool) {
      const corners = this.#outline?.corners;
      this.giveUp();
      if (tool === "move") this.scene.settled();
      else if (corners) this.#says.select(this.scene.inside(corners[0], corners[2]));
    }

    giveUp() {
      this.#outline = null;
      this.#glass.rectangle(null);
      this.#glass.element.classList.remove("held");
    }

    settle() {
      clearTimeout(this.#settling);
      this.#settling = setTimeout(() => this.scene.settled(), PAUSE);
    }

    // What was done to a cloud says nothing of the next one.
    forget() { clearTimeout(this.#settling); }

    // The point that is meant at a place on the glass, null for none.
    #hit({ offsetX, offsetY, pointerType }) {
      if (!this.scene.cloud) return null;
      const { x, y, z } = this.scene.cloud;
      const project = this.scene.project();
      let [best, least, nearest] = [null, REACH[pointerType] ?? REACH.mouse, -Infinity];
      for (let at = 0; at < x.length; at += 1) {
        const [left, top, near] = project(x[at], y[at], z[at]);
        const away = Math.max(UNDER, Math.hypot(left - offsetX, top - offsetY));
        if (away < least || (away === least && near > nearest)) [best, least, nearest] = [at, away, near];
      }
      return best;
    }
  }

  atlas.hand = { Hand, KEYS };
})();
