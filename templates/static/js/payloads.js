"use strict";
// Data arrives as scripts that call atlas.receive: a page opened from disk may load nothing else.
(() => {
  const arrivals = new Map();   // name -> { promise, resolve, reject }
  const TYPES = {
    i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array, f4: Float32Array,
  };

  function arrival(name) {
    if (!arrivals.has(name)) {
      const entry = {};
      entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
      arrivals.set(name, entry);
    }
    return arrivals.get(name);
  }

  // Asks for a file once; after a failure it may be asked for again.
  function request(name, source) {
    const entry = arrival(name);
    const element = document.createElement("script");
    element.src = source;
    element.onerror = () => {
      arrivals.delete(name);
      entry.reject(new Error(`The file ${source} could not be read. Bake the site again, or copy its whole folder.`));
    };
    document.head.append(element);
    return element;
  }

  async function address(name) {
    if (name === "atlas") return document.documentElement.dataset.manifest;
    return `data/${name}.${(await load("atlas")).files[name]}.js`;
  }

  function load(name) {
    if (!arrivals.has(name)) {
      const { reject } = arrival(name);
      address(name).then((source) => request(name, source), reject);
    }
    return arrival(name).promise;
  }

  function script(source) {
    if (!arrivals.has(source)) {
      const { resolve } = arrival(source);
      request(source, source).onload = resolve;
    }
    return arrival(source).promise;
  }

  const bytes = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const array = ({ dtype, bdata }) => new TYPES[dtype](bytes(bdata).buffer);

  async function unpack({ dtype, gzip }) {
    const stream = new Blob([bytes(gzip)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new TYPES[dtype](await new Response(stream).arrayBuffer());
  }

  atlas.receive = (name, payload) => arrival(name).resolve(payload);
  atlas.payloads = { load, script, array, unpack };
})();
