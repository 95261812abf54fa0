"use strict";
/* What stands beside the tables: the chosen gene, the chosen feature, their pair and the feature's pictures. */

(() => {
  const { el, number, brief, pValue, count, message } = histogex;

  /** Terms and what they say; those without a value are left out. @param {[string, any][]} facts */
  const list = (facts) => el("dl", {}, facts.filter(([, value]) => value !== "" && value !== undefined && value !== null).map(([name, value]) => el("div", { class: /^(\S{17,}|.{41,})$/s.test(String(value)) ? "long" : null }, el("dt", {}, name), el("dd", {}, value))));

  /** "0.51 (0.20 to 0.82)". @param {any} frame @param {number} row */
  const interval = (frame, row) => (Number.isFinite(frame.cell("beta", row)) ? `${brief(frame.cell("beta", row))} (${brief(frame.cell("ci_low", row))} to ${brief(frame.cell("ci_high", row))})` : "");

  /** Rows of the pairs of a gene or feature, the strongest first. @param {any} setting @param {"gene"|"feature"} side @param {number} of @returns {number[]} */
  function rowsOf(setting, side, of) {
    const { pairs } = setting, starts = pairs[`${side}s`];
    const first = histogex.peek(starts, of, "i4"), number = histogex.peek(starts, of + 1, "i4") - first;
    return Array.from({ length: number }, (_, k) => (side === "gene" ? first + k : histogex.peek(pairs.by_feature, first + k, "i4")));
  }

  /** The table of the pairs of a gene or feature. @param {any} setting @param {"gene"|"feature"} side @param {number} of */
  function pairTable(setting, side, of) {
    const { genes, features } = setting, pairs = setting.pairs.table, rows = rowsOf(setting, side, of);
    const other = side === "gene" ? "feature" : "gene", frame = side === "gene" ? features : genes;
    const name = (/** @type {number} */ k) => { const place = pairs.cell(other, rows[k]); return place < 0 ? "" : (other === "gene" && frame.at("symbol", place)) || frame.at(other, place); };
    const p = (/** @type {number} */ k) => 10 ** -pairs.cell("nlog10p", rows[k]);
    const plain = (/** @type {string} */ column, /** @type {string} */ label, /** @type {(x: number) => string} */ say, width = 84, title = "") =>
      ({ name: column, label, width, title, value: (/** @type {number} */ k) => pairs.cell(column, rows[k]), show: (/** @type {number} */ k) => say(pairs.cell(column, rows[k])) });
    const title = setting.setting + (side === "gene" ? `, features of ${setting.geneName(of)}` : `, genes of ${features.at("feature", of)}`);
    const hit = pairs.has("q");
    const table = new histogex.Table({
      caption: side === "gene" ? `Features of ${setting.geneName(of)}` : `Genes of ${features.at("feature", of)}`, file: title, rows: rows.length, height: 240,
      columns: [{ name: other, label: other === "gene" ? "Gene" : "Feature", width: 120, text: true, value: name },
        plain("r", "r", number, 70, "Correlation given the covariates"), { ...plain("beta", "beta (95 % CI)", brief, 180, "log2 units per standard deviation of the feature"), show: (/** @type {number} */ k) => interval(pairs, rows[k]) },
        { name: "p", label: "p", width: 80, value: p, show: (/** @type {number} */ k) => pValue(p(k)) }, ...(hit ? [plain("q", "q", pValue, 80, "Empty: not found")] : [])],
      open: (/** @type {number} */ k) => { const place = pairs.cell(other, rows[k]); if (place >= 0) histogex.choose({ [other]: frame.at(other, place) }); },
      text: (/** @type {number} */ k) => String(name(k)).toLowerCase(),
    });
    return table.root;
  }

  /** The table of the pairs, or why there is none. @param {any} setting @param {"gene"|"feature"} side @param {number} of */
  function pairsOr(setting, side, of) {
    if (setting.pairs) return pairTable(setting, side, of);
    return setting.read ? message("The pairs of this setting are not in this run.") : el("p", { class: "muted" }, "Its pairs are being read.");
  }

  /** The chosen gene. @param {any} setting @param {number} row */
  function geneCard(setting, row) {
    const { genes } = setting;
    const facts = list([
      ["Id", genes.at("gene", row)], ["Best feature", setting.bestFeature(row)], ["r", number(genes.at("r", row))], ["beta (95 % interval)", interval(genes, row)],
      ["p of the best pair", pValue(genes.at("p", row))], ["q of the gene", pValue(genes.at("gene_q", row))], ["Hits", count(genes.at("hits", row))],
      ["Split-half r", number(Number(genes.at("r_split_half", row) || NaN))], ["Robustness", number(Number(genes.at("robustness", row) || NaN))],
      ["R\u00b2, held out", genes.has("r2cv") ? number(genes.at("r2cv", row)) : ""], ["\u0394R\u00b2 over covariates", genes.has("delta_r2") ? number(genes.at("delta_r2", row)) : ""],
      ["q of its prediction", genes.has("prediction_q") ? pValue(genes.at("prediction_q", row)) : ""],
    ]);
    return el("section", { class: "card", "aria-label": "Chosen gene" }, el("h2", {}, setting.geneName(row)), facts,
      pairsOr(setting, "gene", row));
  }

  /** The chosen feature. @param {any} setting @param {number} row @param {any} index @param {string} picture number of the one to show */
  function featureCard(setting, row, index, picture) {
    const { features } = setting, name = features.at("feature", row), best = features.at("best_gene", row);
    const facts = list([
      ["What it measures", features.at("label", row)], ["What it tracks", features.at("sentence", row)], ["Hits", count(features.at("hits", row))],
      ["Best gene", best >= 0 ? setting.geneName(best) : ""], ["r", number(features.at("r", row))], ["p", pValue(features.at("p", row))],
      ["Features that say the same", features.has("cluster_size") ? count(features.at("cluster_size", row) - 1) : ""],
    ]);
    const described = setting.tables.described.find("feature", name) >= 0;
    const why = described ? "This run has no pictures of this feature." : "Only the features behind the strongest genes of the primary setting, and those that were named, have pictures.";
    return el("section", { class: "card", "aria-label": "Chosen feature" }, el("h2", {}, name), facts,
      histogex.gallery(histogex.own(histogex.own(index.pictures, setting.setting), name), name, why, picture),
      pairsOr(setting, "feature", row));
  }

  /** The pair of both. @param {any} setting @param {number} gene @param {number} feature @param {string} colour */
  function pairCard(setting, gene, feature, colour) {
    const id = setting.genes.at("gene", gene), name = setting.features.at("feature", feature), { points } = setting, pairs = setting.pairs?.table;
    const title = `${setting.geneName(gene)} and ${name}`;
    if (!setting.read) return el("section", { class: "card" }, el("h2", {}, title), el("p", { class: "muted" }, "The pair is being read."));
    const row = pairs ? rowsOf(setting, "gene", gene).find((r) => pairs.cell("feature", r) === feature) : undefined;
    const numbers = row === undefined ? "The pair is not among the stored ones: neither a hit nor among the five strongest of its gene or feature."
      : `r ${number(pairs.cell("r", row))}, beta ${interval(pairs, row)}, p ${pValue(10 ** -pairs.cell("nlog10p", row))}.`;
    if (!points) return el("section", { class: "card" }, el("h2", {}, title), el("p", {}, numbers), message("The values behind the pairs are not in this run: see Overview for the reason."));
    const cloud = histogex.cloud(points, id, name);
    if (!cloud) return el("section", { class: "card" }, el("h2", {}, title), el("p", {}, numbers), message("Its scatter plot is not kept: values are kept of the 200 strongest genes of a setting and the features that go with them."));
    const text = points.kind === "bins" ? `${numbers} Medians and quartiles of bins of donors by the feature; no donor is shown.` : `${numbers} A point a donor, both sides as residuals on the covariates.`;
    return el("section", { class: "card" }, histogex.scatter(cloud, setting.geneName(gene), name, colour, text, `${setting.setting}.${id}.${name}`));
  }

  Object.assign(histogex, { list, interval, geneCard, featureCard, pairCard });
})();
