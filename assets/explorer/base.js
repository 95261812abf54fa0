"use strict";
/* Elements, numbers as people read them, and downloads. Text of the data reaches the page by textContent alone. */

/** @type {Record<string, any>} what the scripts of this page share */
const histogex = {};

(() => {
  // As write_tsv of bin/hx_io.py: text that begins as a formula and is no number. A dash alone is harmless.
  const FORMULA = /^(?!\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$)(?!\s*[+-]inf$)(?=\s*[=+@-].)/s;

  /**
   * An element with attributes and children; texts become text nodes, never HTML.
   * @param {string} tag
   * @param {Record<string, any>} [attributes] on*: a listener; null and false: none
   * @param {...(Node|string|number|null|undefined|false)} children
   * @returns {HTMLElement}
   */
  function el(tag, attributes = {}, ...children) {
    return fill(document.createElement(tag), attributes, children);
  }

  /** The same for SVG. @param {string} tag @param {Record<string, any>} [attributes] @param {...any} children */
  function svg(tag, attributes = {}, ...children) {
    return /** @type {any} */ (fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children));
  }

  /** @param {any} element @param {Record<string, any>} attributes @param {any[]} children */
  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value === true ? "" : String(value));
    }
    for (const child of children.flat(Infinity)) {
      if (child === null || child === undefined || child === false) continue;
      element.append(child instanceof Node ? child : document.createTextNode(String(child)));
    }
    return element;
  }

  /** A number with three significant digits. @param {number} x */
  function number(x) {
    if (!Number.isFinite(x)) return "";
    if (x === 0) return "0";
    const size = Math.abs(x);
    if (size >= 1000) return Math.round(x).toLocaleString("en-GB");
    if (size < 0.001) return x.toExponential(1);
    return size < 1 ? x.toFixed(3) : x.toPrecision(3);
  }

  /** A number with two significant digits. @param {number} x */
  function brief(x) {
    const size = Math.abs(x);
    if (!Number.isFinite(x) || size >= 10 || (size < 0.01 && x !== 0)) return number(x);
    return size < 1 ? x.toFixed(2) : x.toFixed(1);
  }

  /** A p- or q-value. @param {number} p */
  function pValue(p) {
    if (typeof p !== "number" || Number.isNaN(p)) return "";
    if (p < 1e-300) return "< 1e-300";
    return p < 0.001 ? p.toExponential(1) : p.toFixed(3);
  }

  /** A whole number. @param {number} x */
  const count = (x) => (Number.isFinite(x) ? Math.round(x).toLocaleString("en-GB") : "");

  /**
   * A cell of a TSV file: one line, and no spreadsheet takes it for a formula.
   * @param {any} value
   */
  function cell(value) {
    if (typeof value === "number") return Number.isFinite(value) ? String(Number(value.toPrecision(6))) : "";
    const text = String(value ?? "").replace(/[\t\r\n]+/g, " ");
    return FORMULA.test(text) ? `'${text}` : text;
  }

  /** @param {string[]} header @param {any[][]} rows */
  const tsv = (header, rows) => [header, ...rows].map((row) => row.map(cell).join("\t")).join("\n") + "\n";

  /**
   * A button that saves the data behind a figure as TSV.
   * @param {string} name of the file, without its suffix
   * @param {() => [string[], any[][]]} make header and rows
   */
  function download(name, make) {
    return el("button", { type: "button", class: "small", "data-download": name, onclick: () => {
      const [header, rows] = make();
      const url = URL.createObjectURL(new Blob([tsv(header, rows)], { type: "text/tab-separated-values" }));
      const link = el("a", { href: url, download: `${name.replace(/[^A-Za-z0-9._-]+/g, "_")}.tsv` });
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(url), 1000);
    } }, "Download data (TSV)");
  }

  /**
   * What an object of the data has under a name, which may be `constructor` too; undefined where it has none.
   * @param {any} object @param {string} name
   */
  const own = (object, name) => (object && Object.hasOwn(object, name) ? object[name] : undefined);

  /** A message in place of a figure or table. @param {...any} children */
  const message = (...children) => el("p", { class: "message" }, ...children);

  /** What to do next, where nothing is chosen. @param {string} text */
  const hint = (text) => el("p", { class: "hint" }, text);

  /** Tell a screen reader. @param {string} text */
  function announce(text) {
    /** @type {HTMLElement} */ (document.getElementById("announce")).textContent = text;
  }

  Object.assign(histogex, { el, svg, number, brief, pValue, count, cell, tsv, download, own, message, hint, announce });
})();
