"use strict";
/* Labels of donors: what features go with them, and how well they are predicted in donors left out. */

(() => {
  const { el, svg, number, pValue, count, message, COLOURS, SHAPES, tableColumn: column } = histogex;
  const SOURCES = [["confounders", "Confounders"], ["image", "Image"], ["expression", "Expression"], ["both", "Image and expression"]];
  const ROW = 26, TOP = 6, MOST = 30;

  /** @param {any} setting @param {any} index @param {any} here */
  function labels(setting, index, here) {
    const frame = setting.traits?.labels, pairs = setting.traits?.label_features;
    if (!frame?.rows) return histogex.plain(message("No label was tested against the features of this setting: ", histogex.reason(index, here, "associate_annotations")));
    const name = frame.get("label"), rows = frame.objects();
    const columns = [column(frame, "label", "Label", 170, true), column(frame, "kind", "Kind", 84, true), column(frame, "hits", "Hits", 60, false, count, "Features that go with it"), column(frame, "control_hits", "Donors shuffled", 148, false, count, "Hits with features of other donors"),
      column(frame, "best_feature", "Best feature", 120, true), column(frame, "best_r", "r", 70, false, number, "Partial correlation; none for levels"), column(frame, "best_p", "p", 80, false, pValue), column(frame, "best_q", "q", 80, false, pValue, "Over labels and features"),
      column(frame, "metric", "Score", 76, true, undefined, "In donors left out"), column(frame, "image", "Image", 76, false, number), column(frame, "p_image", "its p", 76, false, pValue), column(frame, "gain_image", "Gain", 76, false, number, "Over the confounders"), column(frame, "p_gain_image", "its p", 76, false, pValue),
      column(frame, "n", "Donors", 76, false, count), column(frame, "positives", "Fewest", 76, false, count, "Donors positive, or of the rarest level")].filter((c) => frame.has(c.name));
    const table = new histogex.Table({ caption: "Labels", file: `${setting.setting}.labels`, rows: frame.rows, columns, kept: true, text: (/** @type {number} */ row) => String(name[row]).toLowerCase(),
      q: frame.has("best_q") ? (/** @type {number} */ row) => frame.at("best_q", row) : undefined, open: (/** @type {number} */ row) => histogex.choose({ label: String(name[row]) }) });
    const found = rows.filter((/** @type {any} */ row) => row.hits > 0).length, scored = rows.filter((/** @type {any} */ row) => row.metric);
    const figures = [...new Set(scored.map((/** @type {any} */ row) => row.metric))].sort().map((metric) => scores(scored.filter((/** @type {any} */ row) => row.metric === metric), metric, `${setting.setting}.labels.${metric}`));
    const panel = el("div", { class: "panel", role: "region", "aria-label": "Features of the chosen label" });
    const root = el("div", {}, el("section", { class: "card" }, el("h2", {}, "Labels of donors"), el("p", {}, `${found ? count(found) : "None"} of ${count(frame.rows)} labels ${found === 1 ? "goes" : "go"} with image features. A label that goes with features is no cause of them: a site, a batch or a disease may be behind both.`)),
      table.root, figures.length ? figures : message("Labels were not predicted in this setting: that is done in the declared one."));
    let shown = "\n", cut = NaN;
    return { root, panel, update: (/** @type {Record<string, string>} */ state) => {
      table.follow(state);
      const row = Array.from(name, String).indexOf(state.label);
      table.mark(row);
      if (shown === state.label && cut === histogex.cut(state)) return;
      const moved = shown !== "\n" && shown !== state.label;
      shown = state.label;
      cut = histogex.cut(state);
      panel.replaceChildren(row < 0 ? state.label ? message(`${state.label} was not tested in this setting.`) : histogex.hint("Choose a label in the table: the features that go with it come here.") : card(setting, pairs, rows[row], state));
      if (row >= 0 && moved && innerWidth < 1000) panel.scrollIntoView({ block: "start" });
    } };
  }

  /** @param {any} setting @param {any} pairs @param {any} label row @param {Record<string, string>} state */
  function card(setting, pairs, label, state) {
    const of = pairs?.rows ? Array.from({ length: pairs.rows }, (_, row) => row).filter((row) => pairs.at("label", row) === label.label) : [];
    const at = (/** @type {any} */ one) => ({ ...one, value: (/** @type {number} */ k) => one.value(of[k]), show: one.show && ((/** @type {number} */ k) => one.show(of[k])) });
    const value = (/** @type {any} */ x) => (typeof x === "number" ? x : NaN);
    const facts = histogex.list([["Kind", label.kind], ["Donors", count(value(label.n))], ["Fewest", count(value(label.positives))], ["Hits", count(label.hits)], ["with donors shuffled", count(value(label.control_hits))],
      [`${label.metric ?? ""}, image`, label.metric ? `${number(label.image)}, p ${pValue(value(label.p_image))}` : ""], ["Adjusted for", String(label.adjusted_for ?? "").replaceAll(";", ", ")]]);
    const columns = [column(pairs, "feature", "Feature", 120, true), column(pairs, "r", "r", 70, false, number), column(pairs, "beta", "Slope", 76, false, number, "Standard deviations of the feature"), column(pairs, "r2", "R\u00b2", 70, false, number), column(pairs, "p", "p", 80, false, pValue),
      column(pairs, "q", "q", 80, false, pValue), column(pairs, "kruskal_p", "p, ranks", 84, false, pValue, "Kruskal and Wallis, unadjusted"), column(pairs, "n", "Donors", 76, false, count)].filter((c) => pairs?.has(c.name)).map(at);
    const table = of.length ? new histogex.Table({ caption: `Features of ${label.label}`, file: `${setting.setting}.${label.label}.features`, rows: of.length, columns, height: 360, q: (/** @type {number} */ k) => pairs.at("q", of[k]),
      open: (/** @type {number} */ k) => histogex.choose({ view: "features", feature: pairs.at("feature", of[k]), gene: "" }) }) : null;
    table?.follow({ ...state, find: "", sort: "" });
    return el("section", { class: "card", "aria-label": "Chosen label" }, el("h2", {}, label.label), facts, table ? table.root : message("No feature of this label is in the run's tables."));
  }

  /** Scores of labels, a row a label. @param {Record<string, any>[]} rows @param {string} metric @param {string} file */
  function scores(rows, metric, file) {
    const narrow = innerWidth < 560, LEFT = narrow ? 110 : 190, WIDTH = narrow ? 350 : 640;
    const gain = (/** @type {any} */ row) => (Number.isFinite(row.image) ? row.image : -Infinity);
    const drawn = [...rows].sort((a, b) => gain(b) - gain(a)).slice(0, MOST), chance = metric === "AUROC" ? 0.5 : 0, height = TOP + drawn.length * ROW + 24;
    const xs = histogex.range([chance, ...drawn.flatMap((row) => SOURCES.map(([name]) => row[name])).filter(Number.isFinite)]), x = histogex.scale(xs, [LEFT, WIDTH - 14]);
    const cut = (/** @type {string} */ text) => (text.length > (narrow ? 14 : 26) ? `${text.slice(0, narrow ? 13 : 25)}\u2026` : text);
    const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", class: "plot", "aria-label": `${metric} of ${count(drawn.length)} labels: ${drawn.slice(0, 5).map((row) => `${row.label}, image ${number(row.image)}`).join("; ")}` },
      histogex.ticks(xs[0], xs[1]).map((/** @type {number} */ t) => [svg("line", { class: "grid", x1: x(t), x2: x(t), y1: TOP, y2: height - 20 }), svg("text", { x: x(t), y: height - 5, "text-anchor": "middle" }, histogex.tickText(t))]),
      svg("line", { class: "limit", x1: x(chance), x2: x(chance), y1: TOP, y2: height - 20 }),
      drawn.map((row, k) => [svg("text", { class: "label", x: LEFT - 10, y: TOP + (k + 0.5) * ROW + 4, "text-anchor": "end" }, svg("title", {}, row.label), cut(String(row.label))),
        SOURCES.map(([name, label], s) => Number.isFinite(row[name]) && histogex.mark(SHAPES[s], x(row[name]), TOP + (k + 0.5) * ROW, 5, { fill: COLOURS[s], class: "point" }, svg("title", {}, `${row.label}, ${label}: ${number(row[name])}`)))]));
    const key = el("div", { class: "key" }, SOURCES.map(([, label], s) => el("span", {}, svg("svg", { viewBox: "0 0 14 14", width: 14, height: 14, "aria-hidden": "true" }, histogex.mark(SHAPES[s], 7, 7, 5, { fill: COLOURS[s], class: "point" })), label)));
    const columns = ["label", "metric", ...SOURCES.map(([name]) => name), "gain_image", "p_image", "p_gain_image"];
    return histogex.figure(`Labels predicted: ${metric}`, `In donors left out${rows.length > MOST ? `; the ${MOST} best by image` : ""}. Dashed: chance (${chance}).`, [histogex.download(file, () => [columns, drawn.map((row) => columns.map((c) => row[c]))])],
      el("div", { class: "wide-box", tabindex: 0, role: "region", "aria-label": `Scores of labels, ${metric}` }, picture), key);
  }

  histogex.views.labels = labels;
})();
