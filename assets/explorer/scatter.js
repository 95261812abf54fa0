"use strict";
/* One pair: its donors as points coloured by a factor, or, in a run to be shared, bins of donors. */

(() => {
  const { el, svg, number, COLOURS, SHAPES } = histogex;
  const HEIGHT = 320, EDGES = { left: 50, right: 12, top: 10, bottom: 42 };

  /**
   * @typedef {object} Cloud what a plot of a pair draws
   * @property {ArrayLike<number>} x @property {ArrayLike<number>} y
   * @property {ArrayLike<number>[]} [quartiles] first and third, of the donors of a bin
   * @property {string[]} names of the points
   * @property {Record<string, ArrayLike<any>>} factors
   */

  /**
   * Values of a pair in the points of a setting; null where they are not kept.
   * @param {any} points content of a .points file @param {string} gene @param {string} feature
   * @returns {Cloud|null}
   */
  function cloud(points, gene, feature) {
    return points.kind === "bins" ? bins(points, gene, feature) : donors(points, gene, feature);
  }

  /** @param {any} points @param {string} gene @param {string} feature @returns {Cloud|null} */
  function donors(points, gene, feature) {
    const [x, y] = [["features", feature], ["genes", gene]].map(([kind, name]) => {
      const block = points[kind], place = histogex.lines(block.names).indexOf(name);
      block.raw ??= new Int16Array(histogex.bytes(block.values));
      return place < 0 ? null : Float32Array.from(block.raw.subarray(place * points.rows, (place + 1) * points.rows), (/** @type {number} */ v) => v / 1000);
    });
    if (!x || !y) return null;
    points.columns ??= Object.fromEntries(Object.entries(points.factors).map(([name, packed]) => [name, histogex.column(packed)]));
    return { x, y, names: histogex.lines(points.donors), factors: points.columns };
  }

  /** @param {any} points @param {string} gene @param {string} feature @returns {Cloud|null} */
  function bins(points, gene, feature) {
    const genes = histogex.lines(points.genes), of = histogex.lines(points.features);
    const row = genes.findIndex((/** @type {string} */ name, /** @type {number} */ k) => name === gene && of[k] === feature);
    if (row < 0) return null;
    const [n, x, low, middle, high] = points.bins[row];
    const factors = Object.entries(points.factors).filter(([, values]) => /** @type {any} */ (values)[feature].length === n.length);
    return { x, y: middle, quartiles: [low, high], names: n.map((/** @type {number} */ count) => `${count} donors`),
      factors: Object.fromEntries(factors.map(([name, values]) => [name, /** @type {any} */ (values)[feature]])) };
  }

  /**
   * The figure of a pair.
   * @param {Cloud} data @param {string} gene @param {string} feature @param {string} factor that colours, '' for none
   * @param {string} text on the pair @param {string} file name of its download
   */
  function scatter(data, gene, feature, factor, text, file) {
    // Narrower on a phone, so that its text keeps its size.
    const BOX = { width: innerWidth < 560 ? 340 : 460, height: HEIGHT, ...EDGES };
    const { quartiles } = data, binned = Boolean(quartiles), xs = histogex.range(data.x);
    const ends = quartiles ? [...Array.from(quartiles[0]), ...Array.from(quartiles[1])] : data.y;
    const ys = histogex.range(ends), x = histogex.scale(xs, [BOX.left, BOX.width - BOX.right]), y = histogex.scale(ys, [BOX.height - BOX.bottom, BOX.top]);
    const names = Object.keys(data.factors), chosen = names.includes(factor) ? factor : "";
    const paint = colouring(chosen ? data.factors[chosen] : null);
    const picture = svg("svg", { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img", class: "plot",
      "aria-label": `${gene} against ${feature}, ${data.x.length} ${binned ? "bins of donors" : "donors"}. ${text}` },
      histogex.axes(BOX, xs, ys, `${feature}, residual (SD)`, `${gene}, residual`),
      quartiles && Array.from(data.x, (v, k) => svg("line", { class: "error", x1: x(v), x2: x(v), y1: y(quartiles[0][k]), y2: y(quartiles[1][k]) })),
      Array.from(data.x, (v, k) => {
        const [fill, shape, value] = paint(k);
        return histogex.mark(shape, x(v), y(data.y[k]), binned ? 6 : 4, { fill, class: "point" }, svg("title", {}, `${data.names[k]}${chosen ? `, ${chosen} ${value}` : ""}`));
      }));
    const pick = el("select", { id: "colour", onchange: (/** @type {any} */ event) => histogex.choose({ colour: event.target.value }, true) },
      el("option", { value: "" }, "nothing"), names.map((name) => el("option", { value: name, selected: name === chosen }, name)));
    const header = ["point", feature, gene, ...(binned ? ["first quartile", "third quartile"] : []), ...names];
    const rows = () => data.names.map((name, k) => [name, data.x[k], data.y[k], ...(quartiles ? [quartiles[0][k], quartiles[1][k]] : []), ...names.map((f) => data.factors[f][k])]);
    return histogex.figure(`${gene} and ${feature}`, text, [names.length > 0 && el("label", {}, "Colour by ", pick), histogex.download(file, () => [header, rows()])],
      picture, chosen ? key(data.factors[chosen]) : el("div"));
  }

  /** Colour, shape and text of each point. @param {ArrayLike<any>|null} values @returns {(k: number) => [string, string, string]} */
  function colouring(values) {
    if (!values) return () => ["var(--low)", "circle", ""];
    if (typeof values[0] === "number") {
      const [low, high] = histogex.range(values, 0);
      return (k) => Number.isNaN(values[k]) ? ["none", "circle", "not known"] : [histogex.step((values[k] - low) / (high - low)), "circle", number(values[k])];
    }
    const levels = levelsOf(values);
    return (k) => { const at = levels.indexOf(values[k]); return at < 0 ? ["none", "circle", "not known"] : [COLOURS[at % COLOURS.length], SHAPES[Math.floor(at / COLOURS.length) % SHAPES.length], values[k]]; };
  }

  /** @param {ArrayLike<string>} values */
  const levelsOf = (values) => [...new Set(Array.from(values))].filter((value) => value !== "").sort((a, b) => a.localeCompare(b, "en", { numeric: true }));

  /** What the colours say. @param {ArrayLike<any>} values */
  function key(values) {
    if (typeof values[0] === "number") {
      const [low, high] = histogex.range(values, 0);
      return el("div", { class: "key" }, number(low), el("span", { class: "ramp", "aria-hidden": "true" }), number(high));
    }
    return el("div", { class: "key" }, levelsOf(values).map((level, k) => el("span", {}, svg("svg", { viewBox: "0 0 14 14", width: 14, height: 14, "aria-hidden": "true" },
      histogex.mark(SHAPES[Math.floor(k / COLOURS.length) % SHAPES.length], 7, 7, 5, { fill: COLOURS[k % COLOURS.length], class: "point" })), level)));
  }

  Object.assign(histogex, { cloud, scatter });
})();
