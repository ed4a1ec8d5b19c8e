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

  function inject(source, fail) {
    const script = document.createElement("script");
    script.src = source;
    script.onerror = fail;
    document.head.append(script);
    return script;
  }

  async function load(name) {
    const known = arrivals.has(name);
    const entry = arrival(name);
    if (!known && name !== "atlas") {
      const { files } = await load("atlas");
      inject(`data/${name}.${files[name]}.js`, () => {
        arrivals.delete(name);
        entry.reject(new Error(`The file data/${name}.${files[name]}.js could not be read. Bake the site again, or copy its whole folder.`));
      });
    }
    return entry.promise;
  }

  function script(source) {
    if (!arrivals.has(source)) {
      const entry = arrival(source);
      const fail = () => {
        arrivals.delete(source);
        entry.reject(new Error(`The file ${source} could not be read. Bake the site again, or copy its whole folder.`));
      };
      inject(source, fail).onload = entry.resolve;
    }
    return arrivals.get(source).promise;
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
