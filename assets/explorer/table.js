"use strict";
/* A table of any length: sorted by its heads, and only the rows in sight are elements. */

(() => {
  const { el } = histogex;
  const HEIGHT = 30; // of a row, as in style.css
  const BEYOND = 6; // rows drawn past the edges

  /**
   * @typedef {object} Column
   * @property {string} name in downloads
   * @property {string} label
   * @property {string} [title] what it is, in words
   * @property {number} width in pixels
   * @property {boolean} [text] sorted as text, set to the left
   * @property {(row: number) => any} value to sort by and to download
   * @property {(row: number) => string} [show] what the cell says; the value where there is none
   */

  class Table {
    /**
     * @param {object} of
     * @param {string} of.caption
     * @param {Column[]} of.columns the first one names the row
     * @param {number} of.rows
     * @param {(row: number) => void} of.open when a row is chosen
     * @param {(row: number) => string} [of.text] what a search looks at, lower case
     * @param {(row: number) => number} [of.q] what the cut-off hides rows by
     * @param {number} [of.height] in pixels, at most
     * @param {string} of.file name of its download
     * @param {boolean} [of.kept] search and order stand in the address
     */
    constructor(of) {
      this.of = of;
      this.search = "";
      this.cut = 1;
      this.chosen = -1;
      /** @type {number[]} */
      this.order = [];
      this.first = -1; // place of the first row that is an element
      this.focused = 0;
      /** @type {[string, boolean]|null} name of a column, and whether it falls */
      this.sort = null;
      this.body = el("tbody");
      this.count = el("span", { class: "muted" });
      this.heads = of.columns.map((column) => el("th", { scope: "col", class: column.text ? "text" : null, title: column.title },
        el("button", { type: "button", class: "head", onclick: () => this.sortBy(column.name) }, column.label)));
      const width = of.columns.reduce((sum, column) => sum + column.width, 0);
      const table = el("table", { class: "rows", style: `min-width:${width}px` }, el("caption", { class: "hidden" }, of.caption),
        el("colgroup", {}, of.columns.map((column) => el("col", { style: `width:${column.width}px` }))),
        el("thead", {}, el("tr", { "aria-rowindex": 1 }, this.heads)), this.body);
      this.table = table;
      this.box = el("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": of.caption, style: `max-height:${of.height ?? 420}px` }, table);
      this.box.addEventListener("scroll", () => this.draw(), { passive: true });
      this.body.addEventListener("keydown", (/** @type {Event} */ event) => this.key(/** @type {KeyboardEvent} */ (event)));
      this.body.addEventListener("click", (/** @type {Event} */ event) => {
        const row = /** @type {HTMLElement} */ (event.target).closest("tr[data-place]");
        if (row) this.open(Number(row.getAttribute("data-place")));
      });
      const tools = el("div", { class: "tools" });
      /** @type {HTMLInputElement|null} */
      this.field = null;
      if (of.text) {
        this.field = /** @type {any} */ (el("input", { type: "search", "aria-label": `Search in ${of.caption}`, placeholder: "Search", oninput: () => this.find() }));
        tools.append(/** @type {any} */ (this.field));
      }
      tools.append(this.count, histogex.download(of.file, () => this.data()));
      this.root = el("div", { class: "table" }, tools, this.box);
      this.update();
    }

    /** Rows that a search and the cut-off leave, sorted. */
    update() {
      const { rows, text, q, columns } = this.of;
      /** @type {number[]} */
      const order = [];
      for (let row = 0; row < rows; row++) {
        if (q && this.cut < 1 && !(q(row) <= this.cut)) continue;
        if (this.search && text && !text(row).includes(this.search)) continue;
        order.push(row);
      }
      if (this.sort) {
        const [name, falls] = this.sort, column = columns.find((c) => c.name === name);
        if (column) sortBy(order, column, falls);
      }
      this.heads.forEach((head, k) => {
        const here = this.sort && columns[k].name === this.sort[0];
        head.setAttribute("aria-sort", here && this.sort ? (this.sort[1] ? "descending" : "ascending") : "none");
      });
      this.order = order;
      this.count.textContent = order.length === rows ? `${histogex.count(rows)} rows` : `${histogex.count(order.length)} of ${histogex.count(rows)} rows`;
      this.table.setAttribute("aria-rowcount", String(order.length + 1));
      this.focused = Math.max(0, order.indexOf(this.chosen));
      this.first = -1;
      this.draw();
    }

    /** Search for what stands in the field. */
    find() {
      this.search = (this.field?.value ?? "").trim().toLowerCase();
      this.update();
      if (this.of.kept) histogex.choose({ find: this.search }, true);
    }

    /** Cut-off of q, search and order as the address has them. @param {Record<string, string>} state */
    follow(state) {
      const cut = histogex.cut(state), name = state.sort.replace(/^-/, "");
      const sort = this.of.columns.some((column) => column.name === name) ? /** @type {[string, boolean]} */ ([name, state.sort !== name]) : null;
      const search = state.find.trim().toLowerCase();
      if (cut === this.cut && search === this.search && String(sort) === String(this.sort)) return;
      if (this.field && search !== this.search) this.field.value = state.find;
      Object.assign(this, { cut, sort, search });
      this.update();
    }

    /** The smallest p, the largest of other numbers and the first name come first. @param {string} name */
    sortBy(name) {
      const column = this.of.columns.find((c) => c.name === name);
      const same = this.sort && this.sort[0] === name;
      this.sort = /** @type {[string, boolean]} */ ([name, same ? !(/** @type {any} */ (this.sort)[1]) : !column?.text && !/(^|_)[pq](_|$)/.test(name)]);
      this.box.scrollTop = 0;
      this.update();
      if (this.of.kept && this.sort) histogex.choose({ sort: (this.sort[1] ? "-" : "") + this.sort[0] }, true);
    }

    /** Rows in sight. */
    draw() {
      const order = this.order, seen = Math.ceil((this.of.height ?? 420) / HEIGHT);
      const first = Math.max(0, Math.min(Math.floor(this.box.scrollTop / HEIGHT) - BEYOND, order.length - seen - 2 * BEYOND));
      if (first === this.first) return;
      this.first = first;
      const last = Math.min(order.length, first + seen + 2 * BEYOND);
      const parts = [space(first)];
      for (let place = first; place < last; place++) parts.push(this.row(place));
      parts.push(space(order.length - last));
      if (!order.length) parts.push(el("tr", {}, el("td", { colspan: this.of.columns.length, class: "text" }, "No row: widen the search or the cut-off of q.")));
      this.body.replaceChildren(...parts);
    }

    /** @param {number} place */
    row(place) {
      const row = this.order[place] ?? 0, [name, ...others] = this.of.columns;
      const chosen = row === this.chosen;
      return el("tr", { "data-place": place, "aria-rowindex": place + 2, class: chosen ? "chosen" : null },
        el("th", { scope: "row", class: "text" }, el("button", { type: "button", class: "link", tabindex: place === this.focused ? 0 : -1,
          "aria-current": chosen ? "true" : null, title: shown(name, row) }, shown(name, row) || "(no name)")),
        others.map((column) => el("td", { class: column.text ? "text" : null, title: column.text ? shown(column, row) : null }, shown(column, row))));
    }

    /** @param {KeyboardEvent} event */
    key(event) {
      const page = Math.floor(this.box.clientHeight / HEIGHT) - 2, last = this.order.length - 1;
      /** @type {Record<string, number>} */
      const to = { ArrowDown: this.focused + 1, ArrowUp: this.focused - 1, PageDown: this.focused + page, PageUp: this.focused - page, Home: 0, End: last };
      if (!(event.key in to)) return;
      event.preventDefault();
      this.focused = Math.max(0, Math.min(last, to[event.key]));
      this.show(this.focused);
      /** @type {HTMLElement|null} */ (this.body.querySelector(`tr[data-place="${this.focused}"] button`))?.focus({ preventScroll: true });
    }

    /** Bring a place into sight. @param {number} place */
    show(place) {
      const top = place * HEIGHT, room = this.box.clientHeight - 2 * HEIGHT;
      if (top < this.box.scrollTop) this.box.scrollTop = top;
      else if (top > this.box.scrollTop + room) this.box.scrollTop = top - room;
      this.first = -1;
      this.draw();
    }

    /** @param {number} place */
    open(place) {
      this.focused = place;
      this.of.open(this.order[place] ?? 0);
    }

    /** Mark a row as chosen, and bring it into sight where it is not. @param {number} row */
    mark(row) {
      if (row === this.chosen) return;
      const held = this.body.contains(document.activeElement);
      this.chosen = row;
      const place = this.order.indexOf(row);
      if (place >= 0) { this.focused = place; this.show(place); } else { this.first = -1; this.draw(); }
      if (held) /** @type {HTMLElement|null} */ (this.body.querySelector("tr.chosen button"))?.focus({ preventScroll: true });
    }

    /** @returns {[string[], any[][]]} header and rows as they stand, for a download */
    data() {
      const { columns } = this.of;
      return [columns.map((column) => column.name), this.order.map((row) => columns.map((column) => column.value(row)))];
    }
  }

  /** @param {Column} column @param {number} row */
  const shown = (column, row) => (column.show ? column.show(row) : String(column.value(row) ?? ""));

  /** @param {number} rows */
  const space = (rows) => (rows > 0 ? el("tr", { "aria-hidden": "true", class: "space" }, el("td", { style: `height:${rows * HEIGHT}px` })) : "");

  /** Sort rows in place; missing numbers last. @param {number[]} order @param {Column} column @param {boolean} falls */
  function sortBy(order, column, falls) {
    const sign = falls ? -1 : 1;
    if (column.text) {
      const keys = new Map(order.map((row) => [row, String(column.value(row) ?? "").toLowerCase()]));
      order.sort((a, b) => { const x = keys.get(a) ?? "", y = keys.get(b) ?? ""; return x < y ? -sign : x > y ? sign : a - b; });
      return;
    }
    const last = falls ? -Infinity : Infinity, keys = new Map(order.map((row) => { const x = Number(column.value(row)); return [row, Number.isNaN(x) ? last : x]; }));
    order.sort((a, b) => { const x = keys.get(a) ?? last, y = keys.get(b) ?? last; return x < y ? -sign : x > y ? sign : a - b; });
  }

  /** A column of a frame. @param {any} frame @param {string} name @param {string} label @param {number} width @param {boolean} [text] @param {(x: any) => string} [say] @param {string} [title] @returns {Column} */
  const column = (frame, name, label, width, text = false, say = undefined, title = undefined) => ({ name, label, width, text, title,
    value: (row) => frame.at(name, row), show: say ? (row) => say(frame.at(name, row)) : undefined });

  Object.assign(histogex, { Table, tableColumn: column });
})();
