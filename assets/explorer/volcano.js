"use strict";
/* Volcano plot of all genes on a canvas: correlation of the best feature against -log10 p. */

(() => {
  const { el, scale, ticks, tickText, range } = histogex;
  const HEIGHT = 300, LEFT = 46, RIGHT = 12, TOP = 10, BOTTOM = 40;

  class Volcano {
    /**
     * @param {object} of
     * @param {Float32Array} of.x @param {Float32Array} of.y
     * @param {(row: number) => boolean} of.hit whether the row is told from the rest by its colour
     * @param {(row: number) => string} of.name
     * @param {(row: number) => void} of.open
     * @param {string} of.xLabel
     */
    constructor(of) {
      this.of = of;
      this.chosen = -1;
      /** @type {number[]} */
      this.rows = [];
      this.canvas = /** @type {HTMLCanvasElement} */ (el("canvas", { role: "img" }));
      this.points = /** @type {HTMLCanvasElement} */ (el("canvas"));
      this.drawn = "";
      this.tip = el("div", { class: "tip", "aria-hidden": "true" });
      this.root = el("div", { class: "canvas" }, this.canvas, this.tip);
      const furthest = Math.max(0.01, ...range(of.x).map(Math.abs));
      this.xs = [-furthest, furthest];
      this.ys = [0, range(of.y, 0.08)[1]];
      this.canvas.addEventListener("pointermove", (event) => this.hover(event));
      this.canvas.addEventListener("pointerleave", () => { this.tip.textContent = ""; });
      this.canvas.addEventListener("click", (event) => { const row = this.near(event); if (row >= 0) of.open(row); });
      new ResizeObserver(() => this.draw()).observe(this.root);
    }

    /** Draw some rows. @param {number[]} rows @param {number} chosen */
    set(rows, chosen) {
      if (this.rows !== rows) this.drawn = "";
      else if (this.chosen === chosen && this.drawn.endsWith(` ${document.documentElement.dataset.theme}`)) return;
      this.rows = rows;
      this.chosen = chosen;
      const hits = rows.filter(this.of.hit).length;
      this.canvas.setAttribute("aria-label", `Volcano plot of ${histogex.count(rows.length)} genes, ${histogex.count(hits)} of them found; the table beside it holds the same numbers.`);
      this.draw();
    }

    draw() {
      const width = this.root.clientWidth;
      if (!width) return;
      const ratio = window.devicePixelRatio || 1, { canvas, points } = this;
      const drawn = `${width} ${ratio} ${document.documentElement.dataset.theme}`;
      if (this.drawn !== drawn) {
        for (const of of [canvas, points]) {
          of.width = Math.round(width * ratio);
          of.height = Math.round(HEIGHT * ratio);
        }
        canvas.style.height = `${HEIGHT}px`;
        this.drawPoints(width, ratio);
        this.drawn = drawn;
      }
      const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
      pen.setTransform(1, 0, 0, 1, 0, 0);
      pen.clearRect(0, 0, canvas.width, canvas.height);
      pen.drawImage(points, 0, 0);
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      if (this.chosen >= 0) this.ring(pen, width, getComputedStyle(document.documentElement).getPropertyValue("--text").trim());
    }

    /** Axes and all points, on a canvas of their own: a choice then costs a copy. @param {number} width @param {number} ratio */
    drawPoints(width, ratio) {
      const pen = /** @type {CanvasRenderingContext2D} */ (this.points.getContext("2d"));
      const style = getComputedStyle(document.documentElement), colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      this.x = scale(this.xs, [LEFT, width - RIGHT]);
      this.y = scale(this.ys, [HEIGHT - BOTTOM, TOP]);
      this.frame(pen, width, colour);
      const { x, y, hit } = this.of, groups = /** @type {number[][]} */ ([[], [], []]);
      for (const row of this.rows) groups[hit(row) ? (x[row] < 0 ? 1 : 2) : 0].push(row);
      ["--faint", "--low", "--high"].forEach((name, k) => {
        pen.fillStyle = colour(name);
        const size = k ? 5 : 3;
        for (const row of groups[k]) pen.fillRect(this.x(x[row]) - size / 2, this.y(y[row]) - size / 2, size, size);
      });
    }

    /** Axes. @param {CanvasRenderingContext2D} pen @param {number} width @param {(name: string) => string} colour */
    frame(pen, width, colour) {
      const { x, y } = /** @type {any} */ (this);
      pen.font = "12px system-ui, sans-serif";
      pen.lineWidth = 1;
      pen.strokeStyle = colour("--grid");
      pen.fillStyle = colour("--muted");
      pen.textAlign = "center";
      pen.beginPath();
      for (const t of ticks(this.xs[0], this.xs[1])) {
        pen.moveTo(x(t), TOP); pen.lineTo(x(t), HEIGHT - BOTTOM);
        pen.fillText(tickText(t), x(t), HEIGHT - BOTTOM + 15);
      }
      pen.textAlign = "right";
      for (const t of ticks(this.ys[0], this.ys[1])) {
        pen.moveTo(LEFT, y(t)); pen.lineTo(width - RIGHT, y(t));
        pen.fillText(tickText(t), LEFT - 6, y(t) + 4);
      }
      pen.stroke();
      pen.fillStyle = colour("--text");
      pen.textAlign = "center";
      pen.fillText(this.of.xLabel, (LEFT + width - RIGHT) / 2, HEIGHT - 6);
      pen.save();
      pen.translate(13, (TOP + HEIGHT - BOTTOM) / 2);
      pen.rotate(-Math.PI / 2);
      pen.fillText("\u2212log10 p", 0, 0);
      pen.restore();
    }

    /** A ring and a name. @param {CanvasRenderingContext2D} pen @param {number} width @param {string} ink */
    ring(pen, width, ink) {
      const { x, y } = /** @type {any} */ (this), px = x(this.of.x[this.chosen]), py = y(this.of.y[this.chosen]);
      pen.strokeStyle = pen.fillStyle = ink;
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(px, py, 7, 0, 2 * Math.PI);
      pen.stroke();
      pen.font = "600 12px system-ui, sans-serif";
      pen.textAlign = px > width / 2 ? "right" : "left";
      pen.fillText(this.of.name(this.chosen), px + (px > width / 2 ? -11 : 11), Math.max(py + 4, TOP + 10));
    }

    /** Row nearest to the pointer, -1 where none is within 12 pixels. @param {MouseEvent} event */
    near(event) {
      const { x, y } = /** @type {any} */ (this);
      if (!x) return -1;
      let best = -1, least = 144;
      for (const row of this.rows) {
        const dx = x(this.of.x[row]) - event.offsetX, dy = y(this.of.y[row]) - event.offsetY, d = dx * dx + dy * dy;
        if (d < least) { least = d; best = row; }
      }
      return best;
    }

    /** @param {MouseEvent} event */
    hover(event) {
      const row = this.near(event);
      this.canvas.style.cursor = row >= 0 ? "pointer" : "default";
      this.tip.textContent = row >= 0 ? `${this.of.name(row)}: r ${histogex.number(this.of.x[row])}, \u2212log10 p ${histogex.number(this.of.y[row])}` : "";
    }
  }

  histogex.Volcano = Volcano;
})();
