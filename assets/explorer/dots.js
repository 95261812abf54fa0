"use strict";
/* Gene sets against features: a dot is a test, larger where p is smaller, blue down and orange up. */

(() => {
  const { svg } = histogex;
  const CELL = 30, TERMS = 20, FEATURES = 20, TOP = 84;

  /**
   * @param {Record<string, any>[]} rows of the gene sets, the smallest p first
   * @param {(feature: string) => void} open @param {string} file name of its download
   */
  function dots(rows, open, file) {
    const narrow = innerWidth < 560, LEFT = narrow ? 180 : 275;
    const terms = [...new Set(rows.map((row) => row.set))].slice(0, TERMS);
    const inside = rows.filter((row) => terms.includes(row.set));
    // The best feature of each set first, then those of the smallest p.
    const firsts = terms.map((set) => inside.find((row) => row.set === set)?.feature);
    const features = [...new Set([...firsts, ...inside.map((row) => row.feature)])].slice(0, FEATURES);
    const shown = inside.filter((row) => features.includes(row.feature));
    const name = Object.fromEntries(inside.map((row) => [row.set, row.term && row.term !== row.set ? `${row.set}: ${row.term}` : row.set]));
    const width = LEFT + features.length * CELL + 20, height = TOP + terms.length * CELL + 10;
    const radius = (/** @type {number} */ p) => Math.max(2.5, Math.min(13, 2.2 * Math.sqrt(-Math.log10(Math.max(p, 1e-300)))));
    const clip = (/** @type {string} */ text, /** @type {number} */ most) => (text.length > most ? `${text.slice(0, most - 1)}\u2026` : text);
    const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", class: "dots", "aria-label": `Dot plot of ${terms.length} gene sets and ${features.length} features` },
      features.map((feature, k) => svg("text", { transform: `translate(${LEFT + (k + 0.5) * CELL + 4} ${TOP - 8}) rotate(-60)` }, svg("title", {}, feature), clip(feature, 13))),
      terms.map((set, k) => [svg("line", { class: "grid", x1: LEFT, x2: width - 20, y1: TOP + (k + 0.5) * CELL, y2: TOP + (k + 0.5) * CELL }),
        svg("text", { x: LEFT - 8, y: TOP + (k + 0.5) * CELL + 4, "text-anchor": "end" }, svg("title", {}, name[set]), clip(name[set], narrow ? 22 : 36))]),
      shown.map((row) => {
        const x = LEFT + (features.indexOf(row.feature) + 0.5) * CELL, y = TOP + (terms.indexOf(row.set) + 0.5) * CELL, found = row.q_camera <= 0.05;
        const title = `${name[row.set]} with ${row.feature}: ${row.direction}, p ${histogex.pValue(row.p_camera)}${Number.isNaN(Number(row.q_camera)) || row.q_camera === "" ? "" : `, q ${histogex.pValue(row.q_camera)}`}`;
        const go = () => open(row.feature);
        return svg("circle", { cx: x, cy: y, r: radius(row.p_camera), class: `${row.direction === "up" ? "up" : "down"}${found ? " found" : ""}`, role: "button", tabindex: 0, "aria-label": title,
          onclick: go, onkeydown: (/** @type {KeyboardEvent} */ event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); go(); } } }, svg("title", {}, title));
      }));
    const columns = ["collection", "feature", "set", "term", "size", "direction", "rho", "p_camera", "q_camera"];
    const found = rows.filter((row) => row.q_camera <= 0.05).length;
    const text = `Camera's test of the ${terms.length} sets of smallest p, with the features they go with. Larger dots: smaller p; orange: up, blue: down; ringed: q \u2264 0.05 over all sets and features. ` +
      (found ? `${histogex.count(found)} tests are found.` : "No test is found: these are the smallest p of many, and such p come by chance.");
    return histogex.figure("Gene sets of the features", text, [histogex.download(file, () => [columns, shown.map((row) => columns.map((c) => row[c]))])],
      histogex.el("div", { class: "wide-box", tabindex: 0, role: "region", "aria-label": "Dot plot of gene sets" }, picture));
  }

  histogex.dots = dots;
})();
