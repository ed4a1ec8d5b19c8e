"use strict";
// Data arrives as scripts that call atlas.receive: a page opened from disk may load nothing else.
(() => {
  const KEPT = { "experts/": 8, "windows/": 4, "clouds/": 96, "search/tokens/": 12, "search/titles/": 12, "search/contexts/": 12, "tokens/": 4 };   // files in memory; those of other families stay
  const HASH = 12;   // characters
  const TYPES = {
    i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array, f4: Float32Array,
  };
  const arrivals = new Map();   // name -> { promise, resolve, reject }, the one asked for last at the end

  function arrival(name) {
    if (!arrivals.has(name)) {
      const entry = {};
      entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve: (payload) => { entry.isHere = true; resolve(payload); }, reject }));
      arrivals.set(name, entry);
    }
    return arrivals.get(name);
  }

  // Asks for a file once; after a failure it may be asked for again.
  function request(name, source) {
    const entry = arrival(name);
    const element = document.createElement("script");
    element.src = source;
    const fail = (what) => {
      arrivals.delete(name);
      entry.reject(new Error(`The file ${source} ${what}. Bake the site again, or copy its whole folder.`));
    };
    element.onload = () => {
      element.remove();
      if (name === source) entry.resolve();   // a library hands over nothing
      else if (!entry.isHere) fail("is not whole");
    };
    element.onerror = () => { element.remove(); fail("could not be read"); };
    document.head.append(element);
  }

  const family = (name) => name.slice(0, name.lastIndexOf("/") + 1);

  async function address(name) {
    if (name === "atlas") return document.documentElement.dataset.manifest;
    const { files } = await load("atlas");
    const [among, at] = [files[family(name)], Number(name.slice(family(name).length))];
    const hash = among ? among.slice(HASH * at, HASH * (at + 1)) : files[name];
    return `data/${name}.${hash}.js`;
  }

  // A payload. Of a family of many files those that were asked for last are kept.
  function load(name) {
    if (arrivals.has(name)) {
      const entry = arrivals.get(name);
      arrivals.delete(name);
      arrivals.set(name, entry);
      return entry.promise;
    }
    const { promise, reject } = arrival(name);
    address(name).then((source) => request(name, source), reject);
    forget(family(name));
    return promise;
  }

  function forget(of) {
    if (!(of in KEPT)) return;
    const held = [...arrivals.keys()].filter((name) => family(name) === of && arrivals.get(name).isHere);
    for (const name of held.slice(0, Math.max(0, held.length - KEPT[of]))) arrivals.delete(name);
  }

  // Whether a payload is in memory: a promise of it is kept before the next frame.
  const isHere = (name) => arrivals.get(name)?.isHere ?? false;

  function script(source) {
    if (!arrivals.has(source)) {
      arrival(source);
      request(source, source);
    }
    return arrival(source).promise;
  }

  const bytes = Uint8Array.fromBase64 ? (base64) => Uint8Array.fromBase64(base64) : (base64) => {
    const text = atob(base64);
    const read = new Uint8Array(text.length);
    for (let at = 0; at < read.length; at += 1) read[at] = text.charCodeAt(at);
    return read;
  };
  const array = ({ dtype, bdata }) => new TYPES[dtype](bytes(bdata).buffer);

  async function unpack({ dtype, gzip }) {
    const stream = new Blob([bytes(gzip)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new TYPES[dtype](await new Response(stream).arrayBuffer());
  }

  // In a page that stands alone, payloads come before they are asked for.
  atlas.receive = (name, payload) => arrival(name).resolve(payload);
  atlas.payloads = { load, isHere, script, array, unpack };
})();
