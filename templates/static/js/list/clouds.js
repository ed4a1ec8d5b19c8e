"use strict";
// Experts as small clouds that lead on to their pages; a cloud is read and drawn once it comes into sight.
(() => {
  const { make, quoting, trouble } = atlas.words;

  class Clouds {
    #root; #manifest; #seen; #items = [];

    // root: where they stand, in a page that says what cannot be read.
    constructor(root, manifest) {
      [this.#root, this.#manifest] = [root, manifest];
      this.#seen = new IntersectionObserver((entries) => entries.forEach((entry) => this.#see(entry)), { rootMargin: "200px" });
      atlas.scheme.changes.addEventListener("change", () => this.#items.forEach((item) => item.inView && item.points && this.#paint(item)));
    }

    // Lets go of all that were made.
    clear() {
      this.#seen.disconnect();
      this.#items = [];
    }

    // said: what its name for screen readers ends in; below: what stands below it.
    item(row, said, ...below) {
      const columns = this.#manifest.experts;
      const expert = columns.expert[row];
      const title = make("span", { class: "title" }, ...quoting(columns.title[row]));
      const link = make("a", { ...atlas.route.way({ expert }), "aria-label": `Expert ${expert}: ${title.textContent}${said ? `, ${said}` : ""}` },
        make("canvas", { ...atlas.cloud.PICTURE, "aria-hidden": "true" }),
        make("span", { class: "name", title: title.textContent }, make("b", {}, String(expert)), " ", title));
      const item = make("li", {}, link, ...below);
      const shown = this.#task(row);
      if (shown?.labels.name.length) item.append(make("span", { class: "by", title: `The cloud is coloured by ${shown.title}` }, shown.title));
      item.row = row;
      this.#items.push(item);
      this.#seen.observe(item);
      return item;
    }

    #task(row) { return this.#manifest.tasks.find(({ task }) => task === this.#manifest.experts.cloud_task[row]); }

    async #see({ target: item, isIntersecting }) {
      item.inView = isIntersecting;
      if (!isIntersecting) return;
      try {
        item.points ??= await atlas.cloud.small(this.#manifest, item.row);
        if (item.inView) this.#paint(item);
      } catch (error) { trouble(this.#root.closest("[data-page]"), error.message); }
    }

    #paint(item) {
      const colours = this.#task(item.row)?.labels.colours[atlas.scheme.name()] ?? [];
      atlas.cloud.picture(item.querySelector("canvas"), item.points, colours);
    }
  }

  atlas.clouds = { Clouds };
})();
