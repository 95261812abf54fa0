"use strict";
/* Variants behind features: what was found beside what could have been, a Manhattan plot, leads and traits. */

(() => {
  const { el, svg, number, pValue, count, message, tableColumn: column } = histogex;
  const EDGES = { height: 300, left: 44, right: 12, top: 12, bottom: 42 };
  /** @type {Record<string, string>} */
  const TESTS = { trait: "the best of the traits", embedding: "the embedding as a whole" };

  /** @param {any} setting @param {any} index @param {any} here */
  function genotypes(setting, index, here) {
    const { qtl, leads, manhattan } = setting.traits ?? {};
    if (!qtl?.rows) return histogex.plain(message("No variant was tested against the features of this setting: ", histogex.reason(index, here, "map_qtl"), " Variants are tested in the declared setting alone."));
    const traits = traitTable(setting, qtl), lead = leads.rows ? leadTable(setting, leads) : null;
    const figure = el("div"), threshold = Math.min(...numbers(qtl, "threshold_p").filter((p) => p > 0));
    const root = el("div", {}, told(qtl), figure, el("section", { class: "table" }, el("h2", {}, "Leads"),
      lead ? lead.root : message("No variant passed, and none has p \u2264 1e-5.")),
      el("section", { class: "table" }, el("h2", {}, "Traits"), traits.root));
    return { root, update: (/** @type {Record<string, string>} */ state) => {
      if (lead) lead.follow({ ...state, find: "", sort: "" });
      const points = (manhattan.rows ? manhattan.objects() : []).filter((/** @type {any} */ row) => Number.isFinite(row.nlog10p) && Number.isFinite(row.place)), tests = [...new Set(points.map((/** @type {any} */ row) => row.test))];
      const test = tests.includes(state.test) ? state.test : tests[0];
      if (figure.dataset.test === test) return;
      figure.dataset.test = test;
      const pick = tests.length > 1 && el("label", {}, "Test ", el("select", { onchange: (/** @type {any} */ event) => histogex.choose({ test: event.target.value }, true) },
        tests.map((name) => el("option", { value: name, selected: name === test }, TESTS[name] ?? name))));
      const own = points.filter((/** @type {any} */ row) => row.test === test);
      figure.replaceChildren(own.length ? plot(own, threshold, pick, `${setting.setting}.manhattan.${test}`) : message("This run has no points of a Manhattan plot."));
    } };
  }

  /** @param {any} frame @param {string} name @returns {number[]} */
  const numbers = (frame, name) => (frame.has(name) ? Array.from(frame.get(name), Number) : []);

  /** What was found, and what could have been. @param {any} qtl */
  function told(qtl) {
    const rows = qtl.objects(), total = rows.reduce((/** @type {number} */ sum, /** @type {any} */ row) => sum + row.leads, 0), traits = new Set(rows.map((/** @type {any} */ row) => row.trait)).size;
    const power = Math.min(...rows.filter((/** @type {any} */ row) => row.kind !== "embedding").map((/** @type {any} */ row) => Number(row.detectable_r2)).filter(Number.isFinite));
    const donors = [...new Set(rows.map((/** @type {any} */ row) => row.n))].filter(Number.isFinite).map(count).join(" and ");
    const could = Number.isFinite(power) ? `a variant with ${number(100 * power)}\u00a0% of a trait's variance would have been found with 80\u00a0% power` : "no test could have passed";
    const bad = rows.filter((/** @type {any} */ row) => ["inflated", "deflated"].includes(row.gate));
    const published = rows.some((/** @type {any} */ row) => row.scope === "published");
    return el("section", { class: "card" }, el("h2", {}, "Variants behind features"),
      el("p", {}, `${total ? `${count(total)} ${total === 1 ? "lead" : "leads"}` : "No QTL"} among ${count(traits)} traits and ${count(Math.max(...rows.map((/** @type {any} */ row) => row.tests)))} variants at a family-wise p of ${number(Number(rows[0].alpha))}. ${donors ? `With ${donors} donors ${could}.` : `${could[0].toUpperCase()}${could.slice(1)}.`}`),
      published && message("Tested as published, near genes chosen in the same donors: these p values are too small."),
      bad.length > 0 && message(`Lambda is out of its limits: ${bad.map((/** @type {any} */ row) => `${row.trait} ${number(row.lambda_gc)} (${number(row.lambda_low)} to ${number(row.lambda_high)})`).join("; ")}. The p values of these traits are not to be trusted.`));
  }

  /** Features lead to their view; components and the embedding have none. @param {any} setting @param {string} trait */
  function openTrait(setting, trait) {
    if (setting.featureRow(trait) >= 0) histogex.choose({ view: "features", feature: trait, gene: "" });
    else histogex.announce(`${trait} is not among the features of the stored pairs`);
  }

  /** @param {any} setting @param {any} frame */
  function traitTable(setting, frame) {
    const limits = (/** @type {number} */ row) => `${number(frame.at("lambda_gc", row))} (${number(frame.at("lambda_low", row))} to ${number(frame.at("lambda_high", row))})`;
    const columns = [column(frame, "trait", "Trait", 120, true), column(frame, "half", "Half", 60, true), column(frame, "hits", "Hits", 64, false, count, "Variants with a family-wise p at most alpha"),
      column(frame, "control_hits", "Genotypes shuffled", 168, false, count, "Hits with genotypes of other donors"), column(frame, "leads", "Leads", 70, false, count),
      column(frame, "best_variant", "Best variant", 190, true), column(frame, "best_p", "its p", 80, false, pValue), column(frame, "best_p_family", "Family-wise p", 120, false, pValue),
      { ...column(frame, "lambda_gc", "Lambda (limits)", 180, false, number), show: limits }, column(frame, "gate", "Gate", 80, true),
      column(frame, "detectable_r2", "Detectable", 100, false, number, "Share of the trait's variance found with 80 % power"), column(frame, "tests", "Variants", 90, false, count), column(frame, "n", "Donors", 80, false, count),
      column(frame, "share", "Share", 80, false, number, "Of the embedding's variance, of a component")].filter((c) => frame.has(c.name));
    return new histogex.Table({ caption: "Traits", file: `${setting.setting}.qtl_traits`, rows: frame.rows, columns, height: 360, open: (/** @type {number} */ row) => openTrait(setting, frame.at("trait", row)) });
  }

  /** @param {any} setting @param {any} frame */
  function leadTable(setting, frame) {
    const low = (/** @type {number} */ row) => frame.at("beta", row) - 1.96 * frame.at("se", row), high = (/** @type {number} */ row) => frame.at("beta", row) + 1.96 * frame.at("se", row);
    const effect = (/** @type {number} */ row) => (Number.isFinite(frame.at("beta", row)) && frame.has("se") ? `${number(frame.at("beta", row))} (${number(low(row))} to ${number(high(row))})` : "");
    const columns = [column(frame, "variant", "Variant", 190, true), column(frame, "trait", "Trait", 110, true), column(frame, "chrom", "Chrom.", 76, true), column(frame, "pos", "Position", 105, false, count),
      column(frame, "alt", "Allele", 70, true, undefined, "Counted, for beta"), { ...column(frame, "beta", "beta (95 % CI)", 190, false, number, "Of the rank-normal trait a copy of the allele"), show: effect },
      column(frame, "r2", "R\u00b2", 70, false, number), column(frame, "p", "p", 80, false, pValue), column(frame, "q", "q", 80, false, pValue, "Benjamini-Hochberg over all tests"), column(frame, "p_family", "Family-wise p", 120, false, pValue),
      column(frame, "significant", "Significant", 100, true), column(frame, "p_leave_one_out", "p without one", 120, false, pValue, "Largest p when a carrier is left out"), column(frame, "mac", "MAC", 70, false, count, "Copies of the rarer allele"),
      column(frame, "carriers", "Carriers", 90, false, count), column(frame, "n", "Donors", 80, false, count)].filter((c) => frame.has(c.name));
    return new histogex.Table({ caption: "Leads", file: `${setting.setting}.qtl_leads`, rows: frame.rows, columns, height: 300, q: frame.has("q") ? (/** @type {number} */ row) => frame.at("q", row) : undefined,
      open: (/** @type {number} */ row) => openTrait(setting, frame.at("trait", row)) });
  }

  /** @param {Record<string, any>[]} rows @param {number} threshold p @param {any} pick @param {string} file */
  function plot(rows, threshold, pick, file) {
    const BOX = { width: innerWidth < 560 ? 366 : 980, ...EDGES };
    const line = Number.isFinite(threshold) ? -Math.log10(threshold) : NaN, top = Math.max(...rows.map((row) => row.nlog10p), line || 0);
    const xs = histogex.range(rows.map((row) => row.place), 0.02), ys = [0, top * 1.08];
    const x = histogex.scale(xs, [BOX.left, BOX.width - BOX.right]), y = histogex.scale(ys, [BOX.height - BOX.bottom, BOX.top]);
    const chroms = [...new Set(rows.map((row) => String(row.chrom)))], best = rows.reduce((a, b) => (b.nlog10p > a.nlog10p ? b : a));
    const middle = (/** @type {string} */ chrom) => { const own = rows.filter((row) => String(row.chrom) === chrom).map((row) => row.place); return (Math.min(...own) + Math.max(...own)) / 2; };
    let last = -Infinity;
    const names = chroms.map((chrom) => { const at = x(middle(chrom)); if (at - last < 20) return null; last = at; return svg("text", { x: at, y: BOX.height - BOX.bottom + 16, "text-anchor": "middle" }, chrom); });
    const picture = svg("svg", { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img", class: "plot wide", "aria-label": `Manhattan plot of ${count(rows.length)} variants; the strongest is ${best.variant}, p ${pValue(10 ** -best.nlog10p)}.` },
      histogex.ticks(ys[0], ys[1]).map((/** @type {number} */ t) => [svg("line", { class: "grid", x1: BOX.left, x2: BOX.width - BOX.right, y1: y(t), y2: y(t) }), svg("text", { x: BOX.left - 6, y: y(t) + 4, "text-anchor": "end" }, histogex.tickText(t))]),
      Number.isFinite(line) && svg("line", { class: "limit", x1: BOX.left, x2: BOX.width - BOX.right, y1: y(line), y2: y(line) }),
      rows.map((row) => histogex.mark(chroms.indexOf(String(row.chrom)) % 2 ? "diamond" : "circle", x(row.place), y(row.nlog10p), 3.2, { class: chroms.indexOf(String(row.chrom)) % 2 ? "expression" : "image" },
        svg("title", {}, `${row.variant}: p ${pValue(10 ** -row.nlog10p)}`))),
      names, svg("text", { class: "label", x: BOX.width / 2, y: BOX.height - 6, "text-anchor": "middle" }, "Chromosome"),
      svg("text", { class: "label", "text-anchor": "middle", transform: `translate(13 ${BOX.height / 2}) rotate(-90)` }, "\u2212log10 p"));
    const columns = ["variant", "chrom", "pos", "nlog10p"];
    const text = `The strongest variant of each 3 million bases, and all with p \u2264 1e-5${Number.isFinite(line) ? `; dashed: p ${pValue(threshold)}, a family-wise p of alpha` : ""}.`;
    return histogex.figure("Variants along the chromosomes", text, [pick, histogex.download(file, () => [columns, rows.map((row) => columns.map((c) => row[c]))])],
      el("div", { class: "wide-box", tabindex: 0, role: "region", "aria-label": "Manhattan plot" }, picture));
  }

  histogex.views.genotypes = genotypes;
})();
