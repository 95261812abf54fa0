"use strict";
/* Data files: each calls histogex.put(name, content). They are loaded when they are needed, and once. */

(() => {
  const FORMAT = 2;
  /** @type {Map<string, Promise<any>>} */
  const asked = new Map();
  /** @type {Map<string, any>} */
  const here = new Map();
  const MOST = 12; // settings kept in memory

  /** Called by a data file. @param {string} name @param {any} content */
  histogex.put = (name, content) => here.set(name, content);

  /**
   * Content of data/<name>.js.
   * @param {string} name
   * @returns {Promise<any>} refused with an Error that says which file is missing
   */
  histogex.load = (name) => {
    const known = asked.get(name);
    if (known) return known;
    const wanted = new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = `data/${encodeURIComponent(name)}.js`;
      script.onload = () => {
        script.remove();
        if (here.has(name)) done(unpacked(here.get(name)));
        else failed(new Error(`data/${name}.js holds something else: make the explorer again`));
        here.delete(name);
      };
      script.onerror = () => {
        script.remove();
        asked.delete(name);
        failed(new Error(`data/${name}.js is not there: keep the folder data/ beside index.html, or make the explorer again`));
      };
      document.head.append(script);
    });
    asked.set(name, wanted);
    const large = [...asked.keys()].filter((key) => key !== "index");
    if (large.length > 3 * MOST) asked.delete(large[0]);
    return wanted;
  };

  /** Have the browser read data/<name>.js ahead of its use. @param {string} name */
  histogex.foresee = (name) => {
    const link = document.createElement("link");
    Object.assign(link, { rel: "preload", as: "script", href: `data/${encodeURIComponent(name)}.js` });
    document.head.append(link);
  };

  /** @param {any} content @returns {any} */
  function unpacked(content) {
    if (content && typeof content === "object" && "rows" in content && "columns" in content) return new Frame(content);
    if (!content || typeof content !== "object" || Array.isArray(content) || content.kind) return content;
    return Object.fromEntries(Object.entries(content).map(([key, value]) => [key, unpacked(value)]));
  }

  /** Bytes of base64 text. @param {string} text */
  function bytes(text) {
    const direct = /** @type {any} */ (Uint8Array).fromBase64; // ten times as fast, in browsers since 2025
    if (direct) return direct.call(Uint8Array, text).buffer;
    const raw = atob(text), out = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out.buffer;
  }

  /** One number of base64 text without unpacking the others. @param {string} text @param {number} at @param {"i2"|"i4"|"f4"} kind */
  function peek(text, at, kind) {
    const size = kind === "i2" ? 2 : 4, from = Math.floor((size * at) / 3) * 4, raw = atob(text.slice(from, from + 8)), skip = (size * at) % 3;
    for (let i = 0; i < size; i++) WORD.setUint8(i, raw.charCodeAt(skip + i));
    return kind === "i2" ? WORD.getInt16(0, true) : kind === "i4" ? WORD.getInt32(0, true) : WORD.getFloat32(0, true);
  }
  const WORD = new DataView(new ArrayBuffer(4));

  /** A packed column as an array. @param {any} packed @returns {ArrayLike<any>} */
  function column(packed) {
    switch (packed.kind) {
      case "text": return lines(packed.text);
      case "level": {
        const levels = lines(packed.levels);
        return Array.from(new Int32Array(bytes(packed.codes)), (code) => (code < 0 ? "" : levels[code]));
      }
      case "integer": return new Int32Array(bytes(packed.values));
      case "short": return new Int16Array(bytes(packed.values));
      case "number": return new Float32Array(bytes(packed.values));
      default: return Float64Array.from(new Float32Array(bytes(packed.values)), (x) => 10 ** -x);
    }
  }

  /** @param {string} text */
  const lines = (text) => text.split("\n");

  /** A table by columns, each unpacked when it is first asked for. */
  class Frame {
    /** @param {{rows: number, columns: Record<string, any>}} packed */
    constructor(packed) {
      this.rows = packed.rows;
      this.packed = packed.columns;
      /** @type {Map<string, ArrayLike<any>>} */
      this.ready = new Map();
    }
    /** @param {string} name */
    has(name) { return this.rows > 0 && name in this.packed; }
    /** Values of a column; undefined for one that is not there. @param {string} name @returns {any} */
    get(name) {
      if (!this.has(name)) return undefined;
      if (!this.ready.has(name)) this.ready.set(name, column(this.packed[name]));
      return this.ready.get(name);
    }
    /** Values of a column of numbers; NaN in each row where it is not there. @param {string} name @returns {any} */
    numbers(name) { return this.get(name) ?? new Float32Array(this.rows).fill(NaN); }
    /** A cell; '' where there is no such column. @param {string} name @param {number} row */
    at(name, row) { const values = this.get(name); return values === undefined ? "" : values[row]; }
    /** The same for a few cells of a large table: numbers are read without unpacking the column. @param {string} name @param {number} row */
    cell(name, row) {
      const packed = this.has(name) ? this.packed[name] : undefined;
      if (!packed || this.ready.has(name) || !packed.values) return this.at(name, row);
      const value = peek(packed.values, row, packed.kind === "integer" ? "i4" : packed.kind === "short" ? "i2" : "f4");
      return packed.kind === "p" ? 10 ** -value : value;
    }
    /** Rows as objects, of small tables. @returns {Record<string, any>[]} */
    objects() {
      const names = Object.keys(this.packed);
      return Array.from({ length: this.rows }, (_, i) => Object.fromEntries(names.map((name) => [name, this.at(name, i)])));
    }
    /** Place of a value in a column of texts, -1 for none. @param {string} name @param {string} value */
    find(name, value) { const values = this.get(name); return values ? Array.prototype.indexOf.call(values, value) : -1; }
  }

  Object.assign(histogex, { FORMAT, Frame, bytes, column, lines, peek });
})();
