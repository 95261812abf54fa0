"use strict";
/* What is chosen, kept in the address after #: a copied address opens the same page. */

(() => {
  const KEYS = ["tissue", "size", "encoder", "aggregation", "view", "gene", "feature", "picture", "label", "pair", "test", "q", "find", "sort", "colour", "given", "theme"];
  const CUTS = [1, 0.5, 0.2, 0.1, 0.05, 0.01, 1e-3, 1e-4, 1e-6, 1e-8, 1e-10];

  /** @returns {Record<string, string>} */
  function read() {
    const found = new URLSearchParams(location.hash.slice(1));
    return Object.fromEntries(KEYS.map((key) => [key, found.get(key) ?? ""]));
  }

  /**
   * Change what is chosen; '' takes a choice back.
   * @param {Record<string, string>} patch
   * @param {boolean} [quiet] without a new entry in the history
   */
  function choose(patch, quiet = false) {
    const now = read(), next = { ...now, ...patch };
    if (next.feature !== now.feature && !("picture" in patch)) next.picture = "";
    if (next.view !== now.view) Object.assign(next, { find: "", sort: "" });
    const hash = "#" + new URLSearchParams(KEYS.filter((key) => next[key]).map((key) => [key, next[key]])).toString();
    if (hash === location.hash) return;
    if (quiet) location.replace(hash); else location.hash = hash;
  }

  /** The cut-off of q that hides rows. @param {Record<string, string>} state */
  const cut = (state) => { const q = Number(state.q); return state.q && q > 0 && q <= 1 ? q : 1; };

  Object.assign(histogex, { read, choose, cut, CUTS });
})();
