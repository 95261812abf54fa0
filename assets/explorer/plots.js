"use strict";
/* What every figure shares: ticks, axes, a frame with a title and its data, colours that colour-blind readers tell apart. */

(() => {
  const { el, svg } = histogex;
  // Okabe and Ito's colours, black left out: it is the ink of the light theme. Shapes go on where colours end.
  const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];
  const SHAPES = ["circle", "square", "triangle", "diamond"];
  // Cividis at five even steps (Nunez et al. 2018): even for readers with and without colour blindness.
  const STEPS = [[0, 34, 78], [65, 77, 107], [125, 124, 120], [188, 175, 111], [254, 232, 56]];

  /** Round numbers from low to high. @param {number} low @param {number} high @param {number} [wanted] */
  function ticks(low, high, wanted = 5) {
    const rough = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough * 0.999) ?? rough;
    const out = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) out.push(Number((k * step).toPrecision(12)));
    return out;
  }

  /** Lowest and highest with a margin; -1 and 1 where nothing varies. @param {ArrayLike<number>} values @param {number} [margin] */
  function range(values, margin = 0.06) {
    let low = Infinity, high = -Infinity;
    for (let i = 0; i < values.length; i++) {
      const x = values[i];
      if (Number.isFinite(x)) { if (x < low) low = x; if (x > high) high = x; }
    }
    if (low > high) return [-1, 1];
    if (low === high) return [low - 1, high + 1];
    return [low - margin * (high - low), high + margin * (high - low)];
  }

  /** @param {number[]} domain @param {number[]} pixels */
  const scale = (domain, pixels) => (/** @type {number} */ x) => pixels[0] + ((x - domain[0]) / (domain[1] - domain[0])) * (pixels[1] - pixels[0]);

  /** A label of a tick. @param {number} x */
  const tickText = (x) => (Math.abs(x) >= 1e5 || (x !== 0 && Math.abs(x) < 1e-3) ? x.toExponential(0) : String(x).replace("-", "\u2212"));

  /**
   * Axes of an SVG plot, with grid lines.
   * @param {{width: number, height: number, left: number, right: number, top: number, bottom: number}} box
   * @param {number[]} xs domain @param {number[]} ys domain @param {string} xLabel @param {string} yLabel
   */
  function axes(box, xs, ys, xLabel, yLabel) {
    const x = scale(xs, [box.left, box.width - box.right]), y = scale(ys, [box.height - box.bottom, box.top]);
    const bottom = box.height - box.bottom, right = box.width - box.right;
    return svg("g", { class: "axes" },
      ticks(xs[0], xs[1]).map((t) => [svg("line", { class: "grid", x1: x(t), x2: x(t), y1: box.top, y2: bottom }),
        svg("text", { x: x(t), y: bottom + 16, "text-anchor": "middle" }, tickText(t))]),
      ticks(ys[0], ys[1]).map((t) => [svg("line", { class: "grid", x1: box.left, x2: right, y1: y(t), y2: y(t) }),
        svg("text", { x: box.left - 6, y: y(t) + 4, "text-anchor": "end" }, tickText(t))]),
      svg("line", { class: "axis", x1: box.left, x2: right, y1: bottom, y2: bottom }),
      svg("line", { class: "axis", x1: box.left, x2: box.left, y1: box.top, y2: bottom }),
      svg("text", { class: "label", x: (box.left + right) / 2, y: box.height - 6, "text-anchor": "middle" }, xLabel),
      svg("text", { class: "label", x: 0, y: 0, "text-anchor": "middle", transform: `translate(13 ${(box.top + bottom) / 2}) rotate(-90)` }, yLabel));
  }

  /**
   * A figure with its title, what it shows, and its data.
   * @param {string} title @param {string} text @param {any[]} tools @param {...Node} content
   */
  const figure = (title, text, tools, ...content) => el("figure", {}, el("figcaption", {}, el("h2", {}, title), el("p", { class: "muted" }, text)),
    ...content, el("div", { class: "tools" }, ...tools));

  /** Colour of a share of the way from lowest to highest. @param {number} share */
  function step(share) {
    const at = Math.max(0, Math.min(1, share)) * (STEPS.length - 1), k = Math.min(STEPS.length - 2, Math.floor(at)), rest = at - k;
    return `rgb(${STEPS[k].map((c, i) => Math.round(c + rest * (STEPS[k + 1][i] - c))).join(",")})`;
  }

  /** A mark of a shape. @param {string} shape @param {number} x @param {number} y @param {number} r @param {Record<string, any>} attributes @param {...any} children */
  function mark(shape, x, y, r, attributes, ...children) {
    if (shape === "circle") return svg("circle", { cx: x, cy: y, r, ...attributes }, ...children);
    if (shape === "square") return svg("rect", { x: x - r * 0.9, y: y - r * 0.9, width: 1.8 * r, height: 1.8 * r, ...attributes }, ...children);
    const points = shape === "triangle" ? [[0, -1.2], [1.1, 0.8], [-1.1, 0.8]] : [[0, -1.3], [1.1, 0], [0, 1.3], [-1.1, 0]];
    return svg("polygon", { points: points.map(([a, b]) => `${x + a * r},${y + b * r}`).join(" "), ...attributes }, ...children);
  }

  Object.assign(histogex, { COLOURS, SHAPES, STEPS, ticks, range, scale, tickText, axes, figure, step, mark });
})();
