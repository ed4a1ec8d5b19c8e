"use strict";
// The rows of a labelled task as sentences, by label or by template, with the probed token marked.
(() => {
  const { make, count, counted, token } = atlas.words;
  const { split, passage } = atlas.contexts;
  const AT_FIRST = 20;
  const MORE = 100;
  const LONGEST = 64;   // characters of a template's first sentence

  class Sentences {
    #root; #task = null; #read = null; #places = []; #most = AT_FIRST;

    constructor(root) {
      this.#root = root;
      this.#part("order").addEventListener("change", () => this.#offer());
      this.#part("which").addEventListener("change", () => this.#choose());
      this.#part("further").firstElementChild.addEventListener("click", () => {
        const before = this.#part("sentences").children.length;
        this.#most += MORE;
        this.#draw();
        this.#part("sentences").children[before].focus({ preventScroll: true });
      });
    }

    #part(name) { return this.#root.querySelector(`[data-task-${name}]`); }

    // read: what atlas.points.sentences made of the task's payload.
    show(task, read) {
      [this.#task, this.#read] = [task, read];
      this.#part("by").hidden = !task.has_text;
      if (!task.has_text) {
        this.#part("counted").textContent = `${counted(task.rows, "row")}, given as numbers: there is no text to show.`;
        this.#part("sentences").replaceChildren();
        this.#part("further").hidden = true;
        return;
      }
      this.#part("order").value = "label";
      this.#offer();
    }

    // Labels by name, templates by their first sentence.
    #offer() {
      const { labels, templates } = this.#task;
      const options = this.#part("order").value === "label"
        ? [["", `all ${count(labels.name.length)} labels`], ...labels.name.map((name, at) => [at, name])]
        : Array.from({ length: templates }, (_, at) => [at, `${at + 1}: ${this.#template(at)}`]);
      this.#part("which").replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
      this.#choose();
    }

    #template(at) {
      const place = this.#read.template.indexOf(at);
      if (place < 0) return "no row";
      const { before, after } = this.#context(place);
      const text = [...before, " …", ...after].join("").trim();
      return text.length > LONGEST ? `${text.slice(0, LONGEST - 1).trimEnd()}…` : text;
    }

    #context(place) {
      const { texts, tokens, starts, length, position } = this.#read;
      return split(Array.from(tokens.subarray(starts[place], starts[place] + length[place]), (index) => texts[index]), position[place]);
    }

    #choose() {
      const [by, which] = [this.#read[this.#part("order").value], this.#part("which").value];
      this.#places = Array.from(by.keys()).filter((place) => which === "" || by[place] === Number(which));
      this.#most = AT_FIRST;
      this.#draw();
    }

    #draw() {
      const { labels } = this.#task;
      const shown = this.#places.slice(0, this.#most);
      const rest = this.#places.length - shown.length;
      this.#part("counted").textContent = `${count(this.#places.length)} of ${counted(this.#task.rows, "sentence")}; marked is the token that is probed.`;
      this.#part("sentences").replaceChildren(...shown.map((place) => make("li", { tabindex: "-1" },
        make("span", { class: "label" }, ...token(labels.name[this.#read.label[place]])), passage(this.#context(place), 1))));
      this.#part("further").hidden = rest === 0;
      this.#part("further").firstElementChild.textContent = rest > MORE ? `${count(MORE)} more of ${count(rest)}` : `${count(rest)} more`;
    }
  }

  atlas.sentences = { Sentences };
})();
