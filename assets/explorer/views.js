"use strict";
/* The views: overview, genes, features, gene sets, confounders. Each is made once for a setting and then told of changes. */

(() => {
  const { el, number, pValue, count, message, list, own, tableColumn: column } = histogex;

  /** @typedef {{root: HTMLElement, update: (state: Record<string, string>) => void}} View */

  /** Overview: settings, notes, links. @param {any} index @param {any} here row of the chosen setting @returns {View} */
  function overview(index, here) {
    const settings = index.settings;
    const say = (/** @type {string} */ name, /** @type {(x: number) => string} */ how) => (settings.has(name) ? how(Number(settings.at(name, here.row) === "" ? NaN : settings.at(name, here.row))) : "");
    const text = (/** @type {string} */ name) => String(settings.at(name, here.row) || "").replaceAll(";", ", ");
    const share = settings.has("shared") && Number.isFinite(settings.at("shared", here.row)) ? `${number(settings.at("shared", here.row))} (${number(settings.at("shared_low", here.row))} to ${number(settings.at("shared_high", here.row))}), p ${say("shared_p", pValue)}` : "";
    const prefix = `${here.tissue_id}.${here.size}`, links = own(index.links, prefix) ?? [];
    const columns = [
      column(settings, "tissue_id", "Tissue", 200, true), column(settings, "size", "Size", 70, true), column(settings, "encoder", "Encoder", 100, true), column(settings, "aggregation", "Aggregation", 110, true),
      column(settings, "n", "Donors", 84, false, count), column(settings, "hits", "Hits", 80, false, count), column(settings, "control_hits", "Hits, donors shuffled", 180, false, count),
      column(settings, "genes_found", "Genes found", 120, false, count), column(settings, "lambda_gc", "Lambda", 80, false, number), column(settings, "shared", "Shared variance", 145, false, number),
      column(settings, "browsed", "To browse", 110, true),
    ].filter((c) => settings.has(c.name));
    const table = new histogex.Table({ caption: "All settings", file: "settings", rows: settings.rows, columns, height: 360,
      open: (/** @type {number} */ row) => histogex.choose({ tissue: settings.at("tissue_id", row), size: settings.at("size", row), encoder: settings.at("encoder", row), aggregation: settings.at("aggregation", row), gene: "", feature: "" }) });
    table.mark(here.row);
    const notes = index.notes.filter((/** @type {string[]} */ [of]) => of === "" || of === prefix || of === here.setting).map((/** @type {string[]} */ [, note]) => note);
    const root = el("div", { class: "overview" },
      el("section", { class: "card" }, el("h2", {}, `${here.tissue_id}, ${histogex.sizeText(here.size)}, ${here.encoder}, ${here.aggregation}`),
        el("p", {}, here.primary === "yes" ? "The setting declared before the run: its numbers count." : "Exploratory: not the setting declared before the run."),
        list([["Donors", say("n", count)], ["Features", say("features", count)], ["Genes", say("genes", count)], ["Adjusted for", text("adjusted_for") || "nothing"],
          ["Hits", say("hits", count)], ["with donors shuffled", say("control_hits", count)], ["Genes found", say("genes_found", count)], ["with donors shuffled", say("control_genes_found", count)],
          ["Lambda", say("lambda_gc", number)], ["Detectable |r|", say("detectable_r", number)], ["Shared variance", share], ["Genes predicted", say("predicted", count)]])),
      notes.length > 0 && el("section", { class: "card" }, el("h2", {}, "What is not here"), el("ul", {}, notes.map((/** @type {string} */ note) => el("li", {}, note)))),
      index.skipped.length > 0 && el("section", { class: "card" }, el("h2", {}, "Stages that were left out"), el("ul", {}, index.skipped.map((/** @type {string[]} */ [stage, why]) => el("li", {}, `${stage}: ${why}`)))),
      el("section", { class: "card" }, el("h2", {}, "All settings"), el("p", {}, "The declared setting of a tissue counts; every other one is exploratory. Choose one to see it; those that are not to browse have their tables."), table.root),
      el("section", { class: "card" }, el("h2", {}, "Tables of this tissue and size"), links.length ? linkList(links) : message("This run has no table of this tissue and size.")));
    return { root, update: () => {} };
  }

  /** @param {string[][]} links */
  const linkList = (links) => el("ul", {}, links.map(([text, href]) => el("li", {}, el("a", { href: encodeURI(href) }, text))));

  /** Genes: volcano and table. @param {any} setting @param {any} index @param {any} here @returns {View} */
  function genes(setting, index, here) {
    const frame = setting.genes;
    if (!frame.rows) return plain(message("This setting has no table of genes: ", reason(index, here)));
    const q = (/** @type {number} */ row) => frame.at("gene_q", row), id = frame.get("gene"), alpha = Number(Number(here.alpha).toPrecision(6)) || 0.05;
    const open = (/** @type {number} */ row) => histogex.choose({ gene: id[row], feature: setting.bestFeature(row) });
    const of = (/** @type {string} */ name, /** @type {string} */ label, /** @type {number} */ width, /** @type {any} */ say, /** @type {string} */ title) => column(frame, name, label, width, false, say, title);
    const columns = [
      { name: "symbol", label: "Gene", width: 104, text: true, title: "Symbol of the gene", value: (/** @type {number} */ row) => setting.geneName(row) },
      of("r", "r", 64, number, "Correlation of both given the covariates"),
      { ...of("beta", "beta (95 % CI)", 178, number, "log2 units per standard deviation of the feature"), show: (/** @type {number} */ row) => histogex.interval(frame, row) },
      of("gene_q", "q", 78, pValue, "Of the gene, all its pairs together"), ...(frame.has("delta_r2") ? [of("delta_r2", "\u0394R\u00b2", 72, number, "Gain in held-out donors over the covariates")] : []),
      { name: "best_feature", label: "Best feature", width: 112, text: true, title: "Feature of largest |r|", value: (/** @type {number} */ row) => setting.bestFeature(row) },
      of("p", "p", 78, pValue, "Of the best pair"), of("hits", "Hits", 60, count, "Features found with it"), ...(frame.has("prediction_q") ? [of("prediction_q", "q of \u0394R\u00b2", 90, pValue, "Of the prediction")] : []),
      { name: "gene", label: "Id", width: 170, text: true, title: "Id of the gene", value: (/** @type {number} */ row) => id[row] },
    ];
    /** @type {string[]|null} made when somebody searches */
    let words = null;
    const text = (/** @type {number} */ row) => (words ??= Array.from({ length: frame.rows }, (_, k) => `${setting.geneName(k)} ${id[k]}`.toLowerCase()))[row];
    const table = new histogex.Table({ caption: "Genes", file: `${setting.setting}.genes`, rows: frame.rows, columns, open, q, kept: true, text });
    const volcano = new histogex.Volcano({ x: frame.numbers("r"), y: frame.numbers("nlog10p"), hit: (/** @type {number} */ row) => q(row) <= alpha, name: setting.geneName, open, xLabel: "r of the best feature" });
    const found = frame.numbers("gene_q").filter((/** @type {number} */ value) => value <= alpha).length;
    const figure = histogex.figure("Genes of this setting", `Blue and orange: genes with q \u2264 ${alpha} (${count(found)} of ${count(frame.rows)}). r of the best of many features is too large by the choice.`,
      [histogex.download(`${setting.setting}.volcano`, () => [["gene", "symbol", "r", "nlog10p", "gene_q"], table.order.map((/** @type {number} */ row) => [id[row], setting.geneName(row), frame.at("r", row), frame.at("nlog10p", row), q(row)])])], volcano.root);
    const none = found ? null : message(`No gene is found at q \u2264 ${alpha}: what stands first here is what chance puts first. With ${count(here.n)} donors an |r| of ${number(Number(here.detectable_r) || NaN)} would be found with 80\u00a0% power.`);
    return { root: el("div", {}, none, figure, table.root), update: (state) => {
      const chosen = state.gene ? setting.geneRow(state.gene) : -1;
      table.follow(state);
      table.mark(chosen);
      volcano.set(table.cut < 1 ? table.order.filter((/** @type {number} */ row) => q(row) <= table.cut) : setting.allGenes, chosen);
    } };
  }

  /** Features. @param {any} setting @param {any} index @param {any} here @returns {View} */
  function features(setting, index, here) {
    const frame = setting.features;
    if (!frame.rows) return plain(message("This setting has no table of features: ", reason(index, here)));
    const name = frame.get("feature"), best = (/** @type {number} */ row) => { const gene = frame.at("best_gene", row); return gene >= 0 ? setting.geneName(gene) : ""; };
    const gain = (/** @type {number} */ row) => { const gene = frame.at("best_gene", row); return gene >= 0 ? setting.genes.at("delta_r2", gene) : NaN; };
    const columns = [column(frame, "feature", "Feature", 120, true), column(frame, "hits", "Hits", 70, false, count, "Genes found with it"),
      { name: "best_gene", label: "Best gene", width: 120, text: true, value: best }, column(frame, "r", "r", 70, false, number),
      { ...column(frame, "beta", "beta (95 % CI)", 178, false, number, "log2 units of the best gene per standard deviation of the feature"), show: (/** @type {number} */ row) => histogex.interval(frame, row) },
      column(frame, "p", "p", 84, false, pValue), column(frame, "q", "q", 84, false, pValue, "Of the best pair; empty: not found"),
      ...(setting.genes.has("delta_r2") ? [{ name: "delta_r2", label: "\u0394R\u00b2 of the gene", width: 118, title: "Gain of the best gene in held-out donors over the covariates", value: gain, show: (/** @type {number} */ row) => number(gain(row)) }] : []),
      column(frame, "sentence", "What it tracks", 420, true, undefined, "In donors held out"), column(frame, "label", "What it measures", 170, true), column(frame, "cluster_size", "In its cluster", 110, false, count, "Features that say the same, itself included")]
      .filter((c) => c.name === "delta_r2" || frame.has(c.name));
    const words = Array.from({ length: frame.rows }, (_, row) => `${name[row]} ${frame.at("label", row)} ${frame.at("sentence", row)} ${best(row)}`.toLowerCase());
    const table = new histogex.Table({ caption: "Features", file: `${setting.setting}.features`, rows: frame.rows, columns, height: 640, kept: true, text: (/** @type {number} */ row) => words[row], q: (/** @type {number} */ row) => Number(frame.has("q") ? frame.at("q", row) : NaN),
      open: (/** @type {number} */ row) => { const gene = frame.at("best_gene", row); histogex.choose({ feature: name[row], gene: gene >= 0 ? setting.genes.at("gene", gene) : "" }); } });
    return { root: el("div", {}, table.root), update: (state) => {
      table.follow(state);
      table.mark(state.feature ? setting.featureRow(state.feature) : -1);
    } };
  }

  /** Gene sets. @param {any} setting @param {any} index @param {any} here @returns {View} */
  function sets(setting, index, here) {
    const { terms } = setting.tables;
    if (!terms.rows) return plain(message("Gene sets were not tested in this setting: ", reason(index, here, "enrich")));
    const rows = terms.objects().filter((/** @type {any} */ row) => Number.isFinite(row.p_camera)), root = el("div"), open = (/** @type {string} */ feature) => histogex.choose({ feature, view: "features", gene: "" });
    const update = (/** @type {Record<string, string>} */ state) => {
      const cut = histogex.cut(state);
      if (root.dataset.cut === String(cut)) return;
      root.dataset.cut = String(cut);
      const left = cut < 1 ? rows.filter((/** @type {any} */ row) => row.q_camera !== "" && row.q_camera <= cut) : rows;
      root.replaceChildren(!rows.length ? message("No test of a gene set gave a number in this setting.") : left.length ? histogex.dots(left, open, `${setting.setting}.gene_sets`) : message(`No gene set has q \u2264 ${cut}: widen the cut-off.`));
    };
    return { root, update };
  }

  /** Confounders. @param {any} setting @param {any} index @param {any} here @returns {View} */
  function confounders(setting, index, here) {
    const { ledger } = setting.tables;
    if (!ledger.rows) return plain(message("The variance that confounders explain was not measured in this run: ", reason(index, here, "adjust_confounders")));
    const rows = ledger.objects().filter((/** @type {any} */ row) => Number.isFinite(row.adjusted)), root = el("div");
    if (!rows.length) return plain(message("No share of variance could be measured for any confounder of this setting."));
    const update = (/** @type {Record<string, string>} */ state) => {
      const given = state.given === "model" ? "model" : "nothing";
      if (root.dataset.given === given) return;
      root.dataset.given = given;
      const pick = el("label", {}, "Variance ", el("select", { onchange: (/** @type {any} */ event) => histogex.choose({ given: event.target.value }, true) },
        [["nothing", "by itself"], ["model", "beyond the rest of the model"]].map(([value, text]) => el("option", { value, selected: value === given }, text))));
      root.replaceChildren(histogex.ledger(rows, given, pick, `${setting.setting}.confounders.${given}`));
    };
    return { root, update };
  }

  /** @param {Node} node @returns {View} */
  const plain = (node) => ({ root: el("div", {}, node), update: () => {} });

  /** Why something is not there. @param {any} index @param {any} here @param {string} [stage] */
  function reason(index, here, stage = "associate") {
    const skipped = index.skipped.find((/** @type {string[]} */ [name]) => name === stage);
    if (skipped) return `${stage} was skipped (${skipped[1]}).`;
    const prefix = `${here.tissue_id}.${here.size}`, notes = index.notes.filter((/** @type {string[]} */ [of]) => of === prefix || of === here.setting);
    return notes.length ? "Overview lists what this run lacks, and why." : `no table of this run has a row of ${here.setting}.`;
  }

  /** A setting that is not to browse. @param {any} index @param {any} here @returns {View} */
  function closed(index, here) {
    const links = own(index.links, `${here.tissue_id}.${here.size}`) ?? [];
    return plain(el("section", { class: "card" }, el("h2", {}, here.setting), el("p", {}, "The explorer holds the encoder and aggregation of the declared setting. The numbers of this one are in the run's tables:"),
      links.length ? linkList(links) : message("This run has no table of it.")));
  }

  Object.assign(histogex, { plain, reason, views: { overview, genes, features, sets, confounders, closed } });
})();
