"use strict";
// Columns of the manifest as arrays: numbers typed (NaN where there is none), few values and texts as plain arrays.
(() => {
  const { array } = atlas.payloads;

  function texts({ text, lengths }) {
    let from = 0;
    return Array.from(array(lengths), (length) => text.slice(from, from += length));
  }

  function few({ values, at }) { return Array.from(array(at), (place) => values[place]); }

  function column(stored) {
    if ("text" in stored) return texts(stored);
    return "values" in stored ? few(stored) : array(stored);
  }

  // The manifest with its columns and the bins of its amounts decoded; a score's are made by counts.js.
  function decoded(manifest) {
    const experts = Object.fromEntries(Object.entries(manifest.experts).map(([name, stored]) => [name, column(stored)]));
    return { ...manifest, experts, amounts: manifest.amounts.map((amount) => ({ ...amount, bin: amount.bin ? array(amount.bin) : null })) };
  }

  atlas.columns = { decoded };
})();
