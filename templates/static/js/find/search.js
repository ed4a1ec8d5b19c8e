"use strict";
// What a query meets: numbers of experts, tokens they fire on, words of their titles and of their strongest contexts. The index is
// made by the bake and lies in shards, of which a query loads those that its words can be in.
(() => {
  const { load, array } = atlas.payloads;
  const KINDS = ["tokens", "titles", "contexts"];
  const STEP = 65536;       // from one rank to the next
  const SHARE_STEPS = 65535;
  const RANKS = { number: 4 * STEP, whole: 2 * STEP, beginning: STEP, title: STEP / 2, context: STEP / 4, contextBeginning: STEP / 8 };
  const SHORT = 3;          // letters, below which a context's word must be met whole
  const OFFERED = 3;        // tokens that begin like the query

  // As atlas/bake/search.py folds the texts of tokens.
  const folded = (text) => text.normalize("NFKC").toUpperCase().toLowerCase().replaceAll("ς", "σ").trim();
  const bare = (word) => (word.length > 2 && word.startsWith("##") ? word.slice(2) : word);   // the inside of a word
  const words = (query) => folded(query).split(/\s+/).filter(Boolean).map(bare);

  // Words of titles and contexts are letters and numbers with the marks on them, as the bake's WORD has it: “__init__” is looked for
  // as “init” there. What has several such parts, or none, is looked for as it is, which no word can be.
  const parts = (word) => word.match(/[\p{L}\p{N}][\p{L}\p{N}\p{M}]*/gu) ?? [];
  const plain = (word) => (parts(word).length === 1 ? parts(word)[0] : word);

  // The first place in sorted texts that is not before `text`.
  function lower(texts, text) {
    let [low, high] = [0, texts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (texts[middle] < text) low = middle + 1; else high = middle;
    }
    return low;
  }

  // The shards, known by the first text of each, in which texts may lie that begin with a word, or are it.
  function covering(firsts, word, whole) {
    const from = Math.max(0, lower(firsts, word) - (firsts[lower(firsts, word)] === word ? 0 : 1));
    let to = from + 1;
    while (!whole && to < firsts.length && firsts[to].startsWith(word)) to += 1;
    return firsts.length ? Array.from({ length: to - from }, (_, at) => from + at) : [];
  }

  async function shard(kind, at) {
    const held = await load(`search/${kind}/${at}`);
    held.decoded ??= { texts: held.texts, starts: array(held.starts), rows: array(held.rows), weight: held.weight ? array(held.weight) : null };
    return held.decoded;
  }

  const contextsWhole = (word) => Array.from(word).length < SHORT;

  class Search {
    #experts; #rowOf;

    // rowOf: an expert's row by its number.
    constructor(experts, rowOf) {
      this.#experts = experts;
      this.#rowOf = rowOf;
    }

    // What a query's words can be in: { directory, words: [{ word, tokens, titles, contexts }] }; null without a word.
    async ready(query) {
      const wanted = words(query);
      if (!wanted.length) return null;
      const directory = await load("search/index");
      const found = await Promise.all(wanted.map(async (word) => {
        const inside = plain(word);
        const shards = KINDS.map((kind) => Promise.all(covering(directory[kind], kind === "tokens" ? word : inside, kind === "contexts" && contextsWhole(inside)).map((at) => shard(kind, at))));
        const [tokens, titles, contexts] = await Promise.all(shards);
        return { word, inside, tokens, titles, contexts };
      }));
      return { common: directory.common, words: found };
    }

    // rank: how well each row matches all words, 0 where it does not; by(row): what it was met by; common: words that are in too many contexts to be searched there.
    matches(ready) {
      if (!ready) return null;
      const met = ready.words.map((found) => this.#word(found));
      const [first, ...others] = met;
      const rank = first.rank.slice();
      for (const { rank: other } of others) for (let row = 0; row < rank.length; row += 1) rank[row] = rank[row] && other[row] ? rank[row] + other[row] : 0;
      const { by } = met.reduce((one, other) => (other.size < one.size ? other : one));   // the rarest word says most
      return { rank, by, common: ready.words.map(({ inside }) => inside).filter((word) => ready.common.includes(word)) };
    }

    #word({ word, inside, tokens, titles, contexts }) {
      const rank = new Uint32Array(this.#experts.expert.length);
      const source = new Int32Array(rank.length).fill(-1);
      const sources = [];
      const offer = (row, offered, from) => { if (offered > rank[row]) [rank[row], source[row]] = [offered, from]; };
      const meet = (shards, text, whole, rise) => {
        for (const { texts, starts, rows, weight } of shards) {
          for (let at = lower(texts, text); at < texts.length && (whole ? texts[at] === text : texts[at].startsWith(text)); at += 1) {
            const from = sources.push(texts[at]) - 1;
            const least = rise(texts[at] === text);
            for (let place = starts[at]; place < starts[at + 1]; place += 1) offer(rows[place], least + (weight ? weight[place] : 0), from);
          }
        }
      };
      meet(contexts, inside, contextsWhole(inside), (is) => (is ? RANKS.context : RANKS.contextBeginning));
      meet(titles, inside, false, () => RANKS.title);
      if (parts(word)[0] !== word) this.#experts.title.forEach((title, row) => { if (title.toLowerCase().includes(word)) offer(row, RANKS.title, -1); });
      meet(tokens, word, false, (is) => (is ? RANKS.whole : RANKS.beginning));
      const numbered = /^\d+$/.test(word) ? this.#rowOf(Number(word)) : -1;
      if (numbered >= 0) offer(numbered, RANKS.number, -1);
      let size = 0;
      for (let row = 0; row < rank.length; row += 1) if (rank[row]) size += 1;
      return { rank, size, by: (row) => told(rank[row], sources[source[row]]) };
    }

    // Tokens that are or begin like the whole query, and how many experts fire on each; the query itself first.
    tokens(ready) {
      if (ready?.words.length !== 1) return [];
      const [{ word, tokens }] = ready.words;
      const found = tokens.flatMap(({ texts, starts }) => {
        const met = [];
        for (let at = lower(texts, word); at < texts.length && texts[at].startsWith(word); at += 1) met.push({ text: texts[at], experts: starts[at + 1] - starts[at] });
        return met;
      });
      const others = found.filter(({ text }) => text !== word).sort((one, other) => other.experts - one.experts).slice(0, OFFERED);
      return [...found.filter(({ text }) => text === word), ...others];
    }

    // The experts that fire on a token, the largest share first: { text, rows, share, shard, from } (the place of the first in its shard), or null.
    async token(text) {
      const { tokens } = await load("search/index");
      const wanted = bare(folded(text));
      const [at] = covering(tokens, wanted, true);
      if (at === undefined) return null;
      const { texts, starts, rows, weight } = await shard("tokens", at);
      const place = lower(texts, wanted);
      if (texts[place] !== wanted) return null;
      const [from, to] = [starts[place], starts[place + 1]];
      return { text: texts[place], rows: rows.subarray(from, to), share: Float64Array.from(weight.subarray(from, to), (steps) => steps / SHARE_STEPS), shard: at, from };
    }
  }

  // What a row was met by: a token with the share of the row's firings, a word of so many of its contexts, its title or number.
  function told(rank, text) {
    if (rank >= RANKS.number) return { number: true };
    if (rank >= RANKS.beginning) return { token: text, share: (rank - (rank >= RANKS.whole ? RANKS.whole : RANKS.beginning)) / SHARE_STEPS };
    if (rank >= RANKS.title) return { titled: text ?? null };
    return { word: text, contexts: rank - (rank >= RANKS.context ? RANKS.context : RANKS.contextBeginning) };
  }

  atlas.search = { Search, folded, words };
})();
