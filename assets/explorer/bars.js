"use strict";
/* The ledger of confounders: what each explains of the image (left) and of expression (right). */

(() => {
  const { svg, number } = histogex;
  const ROW = 24, TOP = 26, MOST = 30;
  const SIDES = /** @type {const} */ (["image_pcs", "expression_pcs"]);

  /**
   * @param {Record<string, any>[]} rows of the ledger @param {string} given nothing, or model
   * @param {any} pick control that chooses `given` @param {string} file name of its download
   */
  function ledger(rows, given, pick, file) {
    // Narrower on a phone, so that both sides are in sight.
    const narrow = innerWidth < 560, WIDTH = narrow ? 366 : 720, MIDDLE = narrow ? 116 : 150, LETTERS = narrow ? 15 : 20;
    const level = rows.filter((row) => row.given === given && row.level === "factor");
    const of = Object.fromEntries(SIDES.map((view) => [view, new Map(level.filter((row) => row.view === view).map((row) => [row.factor, row]))]));
    const value = (/** @type {string} */ view, /** @type {string} */ factor) => of[view].get(factor)?.adjusted ?? NaN;
    const most = (/** @type {string} */ factor) => Math.max(...SIDES.map((view) => (Number.isFinite(value(view, factor)) ? value(view, factor) : -1)));
    const factors = [...new Set(level.map((row) => row.factor))].sort((a, b) => most(b) - most(a)).slice(0, MOST);
    const ends = level.flatMap((row) => [row.adjusted, row.adjusted_high]).filter(Number.isFinite);
    const high = Math.max(0.02, ...ends) * 1.04, half = (WIDTH - MIDDLE) / 2 - 8, height = TOP + factors.length * ROW + 34;
    const length = (/** @type {number} */ v) => Math.max(0, Math.min(1, v / high)) * half;
    const start = [WIDTH / 2 - MIDDLE / 2, WIDTH / 2 + MIDDLE / 2];
    const bar = (/** @type {number} */ side, /** @type {any} */ row, /** @type {number} */ top) => {
      const sign = side ? 1 : -1, to = start[side] + sign * length(row.adjusted), title = `${row.factor}: ${number(100 * row.adjusted)} % (${number(100 * row.adjusted_low)} to ${number(100 * row.adjusted_high)})${row.q === undefined || row.q === "" ? "" : `, q ${histogex.pValue(row.q)}`}`;
      return [svg("rect", { class: side ? "expression" : "image", x: Math.min(start[side], to), y: top + 5, width: Math.abs(to - start[side]), height: ROW - 10 }, svg("title", {}, title)),
        Number.isFinite(row.adjusted_low) && svg("line", { class: "error", x1: start[side] + sign * length(row.adjusted_low), x2: start[side] + sign * length(row.adjusted_high), y1: top + ROW / 2, y2: top + ROW / 2 })];
    };
    const marks = histogex.ticks(0, high, 3);
    const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", class: "plot wide", "aria-label":
      `Share of variance by confounder, image and expression side by side. Largest: ${factors.slice(0, 3).map((f) => `${f}, image ${number(100 * value("image_pcs", f))} %, expression ${number(100 * value("expression_pcs", f))} %`).join("; ")}.` },
      svg("text", { class: "label", x: start[0], y: 15, "text-anchor": "end" }, "Image"), svg("text", { class: "label", x: start[1], y: 15 }, "Expression"),
      marks.map((/** @type {number} */ t) => [0, 1].map((side) => {
        const x = start[side] + (side ? 1 : -1) * length(t);
        return [svg("line", { class: "grid", x1: x, x2: x, y1: TOP, y2: height - 32 }), svg("text", { x, y: height - 16, "text-anchor": "middle" }, `${Number((100 * t).toPrecision(3))} %`)];
      })),
      factors.map((factor, k) => {
        const top = TOP + k * ROW, model = level.find((row) => row.factor === factor)?.in_model === "yes";
        return [svg("text", { x: WIDTH / 2, y: top + ROW / 2 + 4, "text-anchor": "middle", class: model ? "strong" : null }, svg("title", {}, factor), factor.length > LETTERS ? `${factor.slice(0, LETTERS - 1)}\u2026` : factor),
          SIDES.map((view, side) => of[view].has(factor) && bar(side, of[view].get(factor), top))];
      }));
    const columns = ["view", "factor", "in_model", "given", "adjusted", "adjusted_low", "adjusted_high", "null", "p", "q"];
    const text = `Variance of the leading components that each factor explains, less what chance gives, with its interval${factors.length === MOST ? `; the ${MOST} largest` : ""}. Bold: in the model. Bars below zero are not drawn.`;
    return histogex.figure("Confounders of image and expression", text, [pick, histogex.download(file, () => [columns, level.map((row) => columns.map((c) => row[c]))])],
      histogex.el("div", { class: "wide-box", tabindex: 0, role: "region", "aria-label": "Ledger of confounders" }, picture));
  }

  histogex.ledger = ledger;
})();
