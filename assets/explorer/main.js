"use strict";
/* Puts the page together: reads the index, follows the address, loads the chosen setting and tells the view. */

(() => {
  const { el, message } = histogex;
  const VIEWS = [["overview", "Overview"], ["genes", "Genes"], ["features", "Features"], ["sets", "Gene sets"], ["confounders", "Confounders"],
    ["genotypes", "Genotypes"], ["causality", "Causality"], ["labels", "Labels"]];
  const TRAITS = ["genotypes", "causality", "labels"]; // views of the .traits file
  const main = /** @type {HTMLElement} */ (document.getElementById("main"));
  const pick = /** @type {(id: string) => HTMLSelectElement} */ ((id) => /** @type {any} */ (document.getElementById(id)));
  /** @type {any} */ let index;
  /** @type {any[]} */ let settings = [];
  /** @type {any} */ let shown = null; // what stands on the page: setting, view, panel
  let turn = 0;

  histogex.sizeText = (/** @type {string} */ size) => (size === "-" ? "no patches" : size.endsWith("um") ? `${size.slice(0, -2)} \u00b5m` : `${size} px`);

  /** @param {string} text */
  function stop(text) {
    main.replaceChildren(el("section", { class: "card" }, el("h2", {}, "The explorer cannot be shown"), message(text)));
    shown = null;
  }

  /** Values of a key among settings that agree with what is chosen before it. @param {string} key @param {any[]} rows */
  const values = (key, rows) => [...new Set(rows.map((row) => row[key]))];

  /** The chosen setting: what the address names, as far as there is such a one; and the pickers set to it. @param {Record<string, string>} state */
  function resolve(state) {
    let rows = settings;
    const keys = [["tissue_id", "tissue"], ["size", "size"], ["encoder", "encoder"], ["aggregation", "aggregation"]];
    for (const [column, id] of keys) {
      const choices = values(column, rows), wanted = state[id];
      const first = rows.find((row) => row.primary === "yes") ?? rows.find((row) => row.browsed === "yes") ?? rows[0];
      const value = choices.includes(wanted) ? wanted : first[column];
      const select = pick(id), text = (/** @type {string} */ v) => (id === "size" ? histogex.sizeText(v) : v);
      if (Array.from(select.options, (option) => option.value).join("\n") !== choices.join("\n")) select.replaceChildren(...choices.map((v) => el("option", { value: v }, text(v))));
      select.value = value;
      select.disabled = choices.length < 2;
      rows = rows.filter((row) => row[column] === value);
    }
    return rows[0];
  }

  /** Tables of a setting, with names to look things up by. @param {any} here */
  async function open(here) {
    const parts = histogex.own(index.parts, here.setting);
    const tables = await histogex.load(`${here.setting}.tables`), { genes, features } = tables, best = genes.rows ? genes.get("best_feature") : [];
    const symbols = genes.rows ? genes.get("symbol") : [], ids = genes.rows ? genes.get("gene") : [];
    for (const part of ["pairs", "points"]) if (parts[part]) histogex.foresee(`${here.setting}.${part}`);
    return { setting: here.setting, parts, tables, genes, features, traits: null, pairs: null, points: null, whole: null, read: false, allGenes: Array.from({ length: genes.rows }, (_, row) => row),
      geneName: (/** @type {number} */ row) => symbols[row] || ids[row],
      geneRow: (/** @type {string} */ id) => genes.find("gene", id),
      featureRow: (/** @type {string} */ name) => features.find("feature", name),
      bestFeature: (/** @type {number} */ row) => (typeof best[row] === "string" ? best[row] : best[row] >= 0 ? features.at("feature", best[row]) : "") };
  }

  /** Pairs and points of a setting, which only its panel needs. @param {any} setting @returns {Promise<void>} */
  function rest(setting) {
    setting.whole ??= (async () => {
      const [pairs, points] = await Promise.all(["pairs", "points"].map((part) => (setting.parts[part] ? histogex.load(`${setting.setting}.${part}`) : null)));
      Object.assign(setting, { pairs, points, read: true });
    })();
    return setting.whole;
  }

  /** Follow the address. */
  async function follow() {
    const state = histogex.read(), mine = ++turn;
    const dark = state.theme ? state.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    document.getElementById("theme")?.setAttribute("aria-pressed", String(dark));
    const step = Math.max(0, histogex.CUTS.indexOf(histogex.cut(state))), range = /** @type {HTMLInputElement} */ (document.getElementById("q"));
    range.value = String(step);
    const cutText = histogex.CUTS[step] === 1 ? "1 (all)" : String(histogex.CUTS[step]);
    range.setAttribute("aria-valuetext", cutText);
    /** @type {HTMLElement} */ (document.getElementById("q-shown")).textContent = cutText;
    if (!settings.length) return;
    const here = resolve(state), browsed = here.browsed === "yes" && histogex.own(index.parts, here.setting), view = VIEWS.some(([name]) => name === state.view) ? state.view : browsed ? "genes" : "overview";
    for (const link of document.querySelectorAll("#views button")) {
      if (link.id === `view-${view}`) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
    }
    try {
      const setting = browsed && view !== "overview" ? (shown?.setting?.setting === here.setting ? shown.setting : await open(here)) : null;
      if (setting?.parts.traits && TRAITS.includes(view)) setting.traits ??= await histogex.load(`${setting.setting}.traits`);
      if (mine !== turn) return;
      show(here, setting, view, state);
    } catch (error) {
      if (mine === turn) stop(/** @type {Error} */ (error).message);
    }
  }

  /** @param {any} here @param {any} setting @param {string} view @param {Record<string, string>} state */
  function show(here, setting, view, state) {
    const key = `${here.setting}\n${view}`, two = setting && (view === "genes" || view === "features");
    if (!shown || shown.key !== key) {
      const { views } = histogex, made = view === "overview" ? views.overview(index, here) : setting ? views[view](setting, index, here) : views.closed(index, here);
      const panel = el("div", { class: "panel", role: "region", "aria-label": "Chosen gene and feature" });
      main.replaceChildren(el("div", { class: two || made.panel ? "two" : "one", "data-setting": here.setting, "data-view": view }, el("div", { class: "left" }, made.root), two ? panel : made.panel));
      document.title = `${here.tissue_id}, ${VIEWS.find(([name]) => name === view)?.[1]} \u2013 HistoGEx explorer`;
      shown = { key, setting, view: made, panel, chosen: null };
    }
    shown.view.update(state);
    if (!two) return;
    const chosen = state.gene || state.feature, page = shown, fill = () => { if (shown === page) fillPanel(setting, histogex.read()); };
    if (setting.read || !chosen) fillPanel(setting, state);
    if (setting.read) return;
    // What stands without pairs is shown where they keep the reader waiting.
    if (chosen) setTimeout(fill, 80);
    const get = () => rest(setting).then(fill, (error) => stop(error.message));
    if (chosen) get(); else requestIdleCallback(get, { timeout: 300 });
  }

  /** @param {any} setting @param {Record<string, string>} state */
  function fillPanel(setting, state) {
    const gene = state.gene ? setting.geneRow(state.gene) : -1, feature = state.feature ? setting.featureRow(state.feature) : -1;
    const name = [gene >= 0 && setting.geneName(gene), feature >= 0 && setting.features.at("feature", feature)].filter(Boolean).join(" and ");
    const chosen = `${gene} ${feature} ${state.colour} ${setting.read}`;
    if (shown.chosen === chosen) return;
    const same = shown.chosen === null || shown.name === name, parts = [];
    Object.assign(shown, { chosen, name });
    if (state.gene && gene < 0) parts.push(message(`${state.gene} was not tested in this setting.`));
    if (state.feature && feature < 0) parts.push(message(`${state.feature} has no stored pair in this setting.`));
    if (gene >= 0 && feature >= 0) parts.push(histogex.pairCard(setting, gene, feature, state.colour));
    if (gene >= 0) parts.push(histogex.geneCard(setting, gene));
    if (feature >= 0) parts.push(histogex.featureCard(setting, feature, index, state.picture));
    if (!parts.length) parts.push(histogex.hint("Choose a gene or a feature in the table or a point of the plot: its pairs, pictures and scatter plot come here."));
    const held = document.activeElement?.id === "colour";
    shown.panel.replaceChildren(...parts);
    if (held) document.getElementById("colour")?.focus();
    if (same || !name) return;
    histogex.announce(`${name} chosen`);
    if (innerWidth < 1000) shown.panel.scrollIntoView({ block: "start" });
  }

  /** Listeners of the head of the page. */
  function wire() {
    for (const id of ["tissue", "size", "encoder", "aggregation"]) pick(id).addEventListener("change", () => histogex.choose({ [id]: pick(id).value }));
    document.getElementById("pickers")?.addEventListener("submit", (event) => event.preventDefault());
    document.getElementById("q")?.addEventListener("input", (event) => { const cut = histogex.CUTS[Number(/** @type {any} */ (event.target).value)]; histogex.choose({ q: cut === 1 ? "" : String(cut) }, true); });
    document.getElementById("theme")?.addEventListener("click", () => histogex.choose({ theme: document.documentElement.dataset.theme === "dark" ? "light" : "dark" }, true));
    document.getElementById("views")?.append(...VIEWS.map(([name, label]) => el("button", { type: "button", id: `view-${name}`, onclick: () => histogex.choose({ view: name }) }, label)));
    addEventListener("hashchange", follow);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", follow);
    addEventListener("error", (event) => { if (event.error) stop(`Something went wrong: ${event.message}. Load the page again; if it stays, make the explorer again.`); });
    addEventListener("unhandledrejection", (event) => stop(`Something went wrong: ${event.reason?.message ?? event.reason}. Load the page again.`));
  }

  async function start() {
    wire();
    await follow();
    try {
      index = await histogex.load("index");
    } catch (error) {
      return stop(/** @type {Error} */ (error).message);
    }
    if (index.format !== histogex.FORMAT) return stop(`The data are of format ${index.format}, this page reads format ${histogex.FORMAT}: they come from another version of HistoGEx. Make the explorer again.`);
    settings = index.settings.objects().map((/** @type {any} */ row, /** @type {number} */ k) => ({ ...row, row: k }));
    if (!settings.length) return stop(["This run has no setting to show.", ...index.notes.map((/** @type {string[]} */ [, note]) => `${note}.`)].join(" "));
    return follow();
  }

  start();
})();
