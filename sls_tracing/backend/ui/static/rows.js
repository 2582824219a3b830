// The rows in sight, and no others: a trace of 20,000 spans has as many elements as a small one.

import { $, duration, make, makeSVG } from "./dom.js";

export const ROW = 24; // px, as in trace.css
const BEYOND = 12; // rows above and below what is seen
const DEEPEST = 24;

export class Rows {
  constructor(holder, spans, zoom) {
    this.holder = holder;
    this.spans = spans;
    this.zoom = zoom;
    this.elements = new Map();
    this.found = new Set();
    this.selected = -1;
    this.current = 0;
    this.waiting = false;
    holder.classList.add("drawn");
    holder.setAttribute("role", "treegrid");
    holder.setAttribute("aria-label", "Spans");
    for (const name of ["scroll", "resize"]) addEventListener(name, () => this.later(), { passive: true });
  }

  /** Show these spans: what Spans.visible returned. */
  show(view, folded) {
    this.view = view;
    this.folded = folded;
    this.places = new Map(view.rows.map((n, place) => [n, place]));
    if (!this.places.has(this.current)) this.current = view.rows[0] ?? 0;
    this.holder.style.height = `${view.rows.length * ROW}px`;
    this.holder.setAttribute("aria-rowcount", String(view.rows.length));
    this.redraw();
  }

  redraw() {
    this.holder.replaceChildren();
    this.elements.clear();
    this.draw();
  }

  later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  draw() {
    const top = this.holder.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / ROW) - BEYOND);
    const last = Math.min(this.view.rows.length, Math.ceil((innerHeight - top) / ROW) + BEYOND);
    const wanted = new Set(this.view.rows.slice(first, last));
    const focused = document.activeElement?.closest(".row");
    for (const [n, element] of this.elements) {
      if (wanted.has(n) || element === focused) continue;
      element.remove();
      this.elements.delete(n);
    }
    const fresh = [];
    for (let place = first; place < last; place += 1) {
      const n = this.view.rows[place];
      if (this.elements.has(n)) continue;
      const element = this.#make(n, place);
      this.elements.set(n, element);
      fresh.push(element);
    }
    this.holder.append(...fresh);
  }

  /** Move the one row that the Tab key reaches, and bring it into sight. */
  focus(n, { quietly = false, middle = false } = {}) {
    const place = this.places.get(n);
    if (place === undefined) return;
    this.elements.get(this.current)?.setAttribute("tabindex", "-1");
    this.current = n;
    const head = $(".stick").getBoundingClientRect().height;
    const top = this.holder.getBoundingClientRect().top + place * ROW;
    if (middle ? top < head || top > innerHeight - 2 * ROW : top < head) scrollBy(0, top - (middle ? innerHeight / 3 : head));
    else if (top > innerHeight - 2 * ROW) scrollBy(0, top - innerHeight + 2 * ROW);
    this.draw();
    const element = this.elements.get(n);
    element.setAttribute("tabindex", "0");
    if (!quietly) element.focus({ preventScroll: true });
  }

  select(n) {
    this.elements.get(this.selected)?.classList.remove("selected");
    this.selected = n;
    this.elements.get(n)?.classList.add("selected");
  }

  #make(n, place) {
    const { spans, view } = this;
    const span = spans.all[n];
    const [service, colour] = spans.service(n);
    const level = view.level[n];
    const element = make("div", "row", {
      role: "row", id: `s${span.key}`, tabindex: n === this.current ? "0" : "-1", "aria-level": level + 1, "aria-rowindex": place + 1,
    });
    element.dataset.n = n;
    const states = { failed: spans.hasFailed(n), reported: view.reported[n], sidecar: spans.isSidecar(n), selected: n === this.selected, found: this.found.has(n) };
    for (const [name, holds] of Object.entries(states)) element.classList.toggle(name, Boolean(holds));
    element.style.transform = `translateY(${place * ROW}px)`;
    const name = make("div", `name d${Math.min(level, DEEPEST)}`, { role: "gridcell" });
    if (spans.hasChildren(n)) {
      element.setAttribute("aria-expanded", String(!this.folded.has(n)));
      name.append(make("span", "fold open", { "data-fold": "" }));
    } else name.append(make("span", "fold"));
    name.append(make("b", `svc b${colour}`, {}, service), ` ${spans.operations[span.operation]}`);
    const mark = spans.hasFailed(n) ? "failed" : view.reported[n] ? "sidecar failed" : spans.hasWarnings(n) ? "warning" : "";
    if (mark) name.append(" ", make("em", "mark", {}, mark));
    name.title = `${service}: ${spans.operations[span.operation]}`;
    element.append(name, this.#bar(n, span, colour));
    return element;
  }

  #bar(n, span, colour) {
    const { low, high } = this.zoom;
    const share = (micros) => ((micros - low) / (high - low)) * 100;
    const [x, end] = [share(span.begin), share(span.begin + span.length)];
    const text = duration(span.length);
    const svg = makeSVG("svg", { class: "bar", role: "gridcell", "aria-label": text });
    const rect = (className, from, to, attributes) =>
      svg.append(makeSVG("rect", { class: className, x: `${Math.min(from, 99.8)}%`, width: `${Math.max(to - from, 0.2)}%`, ...attributes }));
    const shell = this.spans.shell(n, this.view.gone);
    if (shell) rect(`shell c${colour}`, share(shell[0]), share(shell[1]), { y: 4, height: 14, rx: 3 });
    rect(`fill c${colour} h${span.heat}`, x, end, { y: 6, height: 10, rx: 2 });
    for (let at = 0; at < span.critical.length; at += 2) {
      rect("critical", share(span.critical[at]), share(span.critical[at + 1]), { y: 17, height: 2 });
    }
    if (end < 0 || x > 100) return svg;
    const [begin, stop] = [Math.max(0, x), Math.min(100, Math.max(end, x + 0.2))];
    const [at, anchor, on] = stop < 85 ? [stop + 0.5, "start", ""] : begin > 15 ? [begin - 0.5, "end", ""] : [begin + 0.7, "start", "on"];
    const label = makeSVG("text", { x: `${at}%`, y: 15, "text-anchor": anchor, class: on });
    label.textContent = text;
    svg.append(label);
    return svg;
  }
}
