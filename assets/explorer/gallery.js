"use strict";
/* Pictures of a feature, one at a time: patches, slides, other sizes, maps. Left and right keys turn the page. */

(() => {
  const { el, message } = histogex;
  /** @type {Record<string, string>} */
  const WHAT = { patches: "Highest and lowest patches of the cohort", slides: "Slides with the highest and lowest values", sizes: "The same places at other patch sizes",
    mosaic: "Patches across the range of values", scatter: "The feature against what it tracks", map: "Map on the tissue" };

  /**
   * @param {{src: string, what: string, of?: string, data?: string}[]|undefined} pictures of, data: slide of a map, table behind
   * @param {string} feature
   * @param {string} why there may be none
   * @param {string} wanted number of the picture to begin with, from 1
   */
  function gallery(pictures, feature, why, wanted) {
    if (!pictures || !pictures.length) return message(why);
    let place = Math.min(pictures.length, Math.max(1, Math.trunc(Number(wanted)) || 1)) - 1;
    const image = /** @type {HTMLImageElement} */ (el("img", { decoding: "async" }));
    const link = el("a", { target: "_blank", rel: "noopener" }, "Open in full size"), data = el("a", {}, "Its data (TSV)");
    const caption = el("p", { class: "muted" }), lost = el("div");
    const jump = el("select", { "aria-label": "Picture", onchange: (/** @type {any} */ event) => turn(event.target.selectedIndex) },
      pictures.map((picture) => el("option", {}, title(picture))));
    const turn = (/** @type {number} */ to, spoken = true) => {
      place = (to + pictures.length) % pictures.length;
      const picture = pictures[place];
      lost.replaceChildren();
      image.hidden = false;
      image.src = encodeURI(picture.src);
      image.alt = `${title(picture)} of ${feature}`;
      link.setAttribute("href", encodeURI(picture.src));
      data.hidden = !picture.data;
      if (picture.data) data.setAttribute("href", encodeURI(picture.data));
      caption.textContent = `${place + 1} of ${pictures.length}: ${title(picture)}`;
      /** @type {HTMLSelectElement} */ (jump).selectedIndex = place;
      if (!spoken) return;
      histogex.announce(caption.textContent);
      histogex.choose({ picture: place ? String(place + 1) : "" }, true);
    };
    image.addEventListener("error", () => {
      image.hidden = true;
      lost.replaceChildren(message(`${pictures[place].src} is not there: keep the folder description/ beside explorer/.`));
    });
    const frame = el("div", { class: "picture", tabindex: 0, role: "group", "aria-label": `Pictures of ${feature}; left and right keys turn the page`,
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        const to = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: pictures.length - 1 }[event.key];
        if (to !== undefined) { event.preventDefault(); turn(to); }
      } }, image);
    turn(place, false);
    return el("div", { class: "gallery" },
      el("div", { class: "tools" }, el("button", { type: "button", class: "small", onclick: () => turn(place - 1) }, "Previous"),
        el("button", { type: "button", class: "small", onclick: () => turn(place + 1) }, "Next"), jump, link, data),
      frame, lost, caption);
  }

  /** @param {{what: string, of?: string}} picture */
  const title = (picture) => (WHAT[picture.what] ?? picture.what) + (picture.of ? ` of ${picture.of}` : "");

  histogex.gallery = gallery;
})();
