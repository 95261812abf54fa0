"use strict";
/* What acts on what: verdicts on pairs, and of the chosen pair its estimates both ways and what they assume. */

(() => {
  const { el, svg, number, pValue, count, message, tableColumn: column } = histogex;
  const ROW = 30, TOP = 8;

  /** @param {any} setting @param {any} index @param {any} here */
  function causality(setting, index, here) {
    const { causes, estimates, assumptions } = setting.traits ?? {};
    if (!causes?.rows) return histogex.plain(message("No pair was asked for what acts on what in this setting: ", histogex.reason(index, here, "test_causality"), " Pairs are asked in the declared setting alone."));
    const key = (/** @type {number} */ row) => `${causes.at("first", row)}|${causes.at("second", row)}`;
    const end = (/** @type {string} */ of, /** @type {number} */ row) => String(causes.at(`${of}_label`, row) || causes.at(of, row));
    const columns = [{ name: "first", label: "First", width: 140, text: true, value: (/** @type {number} */ row) => end("first", row) }, { name: "second", label: "Second", width: 140, text: true, value: (/** @type {number} */ row) => end("second", row) },
      { name: "verdict", label: "Verdict", width: 150, text: true, value: (/** @type {number} */ row) => causes.at("verdict", row) || causes.at("status", row) },
      column(causes, "r", "r", 70, false, number, "Given the covariates"), column(causes, "p", "p", 80, false, pValue), column(causes, "n", "Donors", 76, false, count),
      column(causes, "reason", "Why", 420, true)].filter((c) => c.name === "first" || c.name === "second" || c.name === "verdict" || causes.has(c.name));
    const words = Array.from({ length: causes.rows }, (_, row) => columns.filter((c) => c.text).map((c) => c.value(row)).join(" ").toLowerCase());
    const table = new histogex.Table({ caption: "Pairs", file: `${setting.setting}.causality`, rows: causes.rows, columns, height: 560, kept: true, text: (/** @type {number} */ row) => words[row], open: (/** @type {number} */ row) => histogex.choose({ pair: key(row) }) });
    const counts = new Map();
    for (let row = 0; row < causes.rows; row++) { const verdict = causes.at("verdict", row) || "not tested"; counts.set(verdict, (counts.get(verdict) ?? 0) + 1); }
    const panel = el("div", { class: "panel", role: "region", "aria-label": "Estimates of the chosen pair" });
    const root = el("div", {}, el("section", { class: "card" }, el("h2", {}, "What acts on what"),
      el("p", {}, `Pairs that go together, asked both ways by variants that tell one of them (Mendelian randomisation): ${[...counts].map(([verdict, n]) => `${verdict} ${count(n)}`).join(", ")}. A direction is named where at least two instruments agree and no assumption that can be tested failed; even then a heritable common cause would look the same.`)), table.root);
    let shown = "\n";
    return { root, panel, update: (/** @type {Record<string, string>} */ state) => {
      table.follow({ ...state, q: "" });
      const row = Array.from({ length: causes.rows }, (_, k) => key(k)).indexOf(state.pair);
      table.mark(row);
      if (shown === state.pair) return;
      const first = shown === "\n";
      shown = state.pair;
      panel.replaceChildren(row < 0 ? state.pair ? message("This pair was not asked in this setting.") : histogex.hint("Choose a pair in the table: its estimates both ways come here.")
        : card(setting, causes, row, rowsOf(estimates, causes, row), rowsOf(assumptions, causes, row)));
      if (row >= 0 && !first && innerWidth < 1000) panel.scrollIntoView({ block: "start" });
    } };
  }

  /** Rows of a table about a pair, in either direction. @param {any} frame @param {any} causes @param {number} row @returns {Record<string, any>[]} */
  function rowsOf(frame, causes, row) {
    const ends = [causes.at("first", row), causes.at("second", row)];
    return frame?.rows ? frame.objects().filter((/** @type {any} */ of) => ends.includes(of.exposure) && ends.includes(of.outcome)) : [];
  }

  /** @param {any} setting @param {any} causes @param {number} row @param {Record<string, any>[]} estimates @param {Record<string, any>[]} assumptions */
  function card(setting, causes, row, estimates, assumptions) {
    const ends = ["first", "second"].map((of) => ({ name: causes.at(of, row), label: causes.at(`${of}_label`, row) || causes.at(of, row) }));
    const links = ends.map(({ name, label }) => {
      const gene = setting.geneRow(name), feature = setting.featureRow(name);
      if (gene < 0 && feature < 0) return null;
      const to = gene >= 0 ? { view: "genes", gene: name, feature: setting.bestFeature(gene) } : { view: "features", feature: name, gene: "" };
      return el("button", { type: "button", class: "small", onclick: () => histogex.choose(to) }, `Show ${label}`);
    });
    const drawn = estimates.filter((of) => Number.isFinite(of.effect)), silent = estimates.filter((of) => !Number.isFinite(of.effect));
    return el("section", { class: "card", "aria-label": "Chosen pair" }, el("h2", {}, ends.map(({ label }) => label).join(" and ")),
      histogex.list([["Verdict", causes.at("verdict", row)], ["Status", causes.at("status", row)], ["r", number(Number(causes.at("r", row) === "" ? NaN : causes.at("r", row)))], ["p", pValue(Number(causes.at("p", row) === "" ? NaN : causes.at("p", row)))],
        ["Donors", count(Number(causes.at("n", row) === "" ? NaN : causes.at("n", row)))], ["Why", causes.at("reason", row)]]), el("div", { class: "tools" }, links),
      drawn.length ? forest(drawn, `${setting.setting}.${ends[0].name}.${ends[1].name}.estimates`) : message("There is no estimate of an effect: without an instrument there is no number."),
      silent.length > 0 && el("ul", {}, silent.map((of) => el("li", {}, `${of.exposure_label || of.exposure} on ${of.outcome_label || of.outcome}: ${of.status}${of.reason ? `, ${of.reason}` : ""}`))),
      assumptions.length > 0 && el("h3", {}, "Assumptions"), assumptions.length > 0 && el("ul", {}, assumptions.map((of) => el("li", {}, el("strong", {}, of.state), ` \u2013 ${of.exposure_label || of.exposure} on ${of.outcome_label || of.outcome}: ${of.assumption}${of.told ? `, ${of.told}` : ""}`))));
  }

  /** Effects with their intervals, a row an estimate. @param {Record<string, any>[]} rows @param {string} file */
  function forest(rows, file) {
    const narrow = innerWidth < 560, WIDTH = narrow ? 330 : 560, LEFT = narrow ? 140 : 230, LETTERS = narrow ? 19 : 32;
    const xs = histogex.range([0, ...rows.flatMap((row) => [row.effect, row.ci_low, row.ci_high, row.slope]).filter(Number.isFinite)]), height = TOP + rows.length * ROW + 42;
    const x = histogex.scale(xs, [LEFT, WIDTH - 12]), end = (/** @type {string} */ text) => (text.length > LETTERS ? `${text.slice(0, LETTERS - 1)}\u2026` : text);
    const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", class: "plot", "aria-label": `Effects by instruments: ${rows.map((row) => `${row.exposure_label || row.exposure} on ${row.outcome_label || row.outcome}, ${row.method}, ${number(row.effect)} (${number(row.ci_low)} to ${number(row.ci_high)})`).join("; ")}` },
      histogex.ticks(xs[0], xs[1]).map((/** @type {number} */ t) => [svg("line", { class: t === 0 ? "axis" : "grid", x1: x(t), x2: x(t), y1: TOP, y2: height - 38 }), svg("text", { x: x(t), y: height - 22, "text-anchor": "middle" }, histogex.tickText(t))]),
      rows.map((row, k) => {
        const y = TOP + (k + 0.5) * ROW;
        return [svg("text", { class: "label", x: 4, y: y - 1 }, svg("title", {}, `${row.exposure_label || row.exposure} on ${row.outcome_label || row.outcome}`), end(`${row.exposure_label || row.exposure} on ${row.outcome_label || row.outcome}`)), svg("text", { x: 4, y: y + 12 }, end(`${row.method}, ${row.source}`)),
          Number.isFinite(row.ci_low) && svg("line", { class: "error", x1: x(row.ci_low), x2: x(row.ci_high), y1: y, y2: y }), histogex.mark("circle", x(row.effect), y, 5, { class: "image" }, svg("title", {}, `effect ${number(row.effect)}, p ${pValue(row.p)}`)),
          Number.isFinite(row.slope) && histogex.mark("diamond", x(row.slope), y, 5, { class: "expression" }, svg("title", {}, `slope among donors ${number(row.slope)}`))];
      }),
      svg("text", { class: "label", x: (LEFT + WIDTH) / 2, y: height - 5, "text-anchor": "middle" }, "SD of the outcome per SD of the exposure"));
    const columns = ["direction", "exposure", "outcome", "source", "method", "status", "instruments", "f", "effect", "ci_low", "ci_high", "confidence_set", "p", "q", "slope"];
    return histogex.figure("Effects by instruments", "Circles: effect with its 95 % interval. Diamonds: slope among donors, which holds what confounds.", [histogex.download(file, () => [columns, rows.map((row) => columns.map((c) => row[c]))])], picture);
  }

  histogex.views.causality = causality;
})();
