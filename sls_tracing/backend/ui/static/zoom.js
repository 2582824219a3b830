// Which part of the trace's time is shown: by brush, buttons and keys.

import { brush } from "./brush.js";
import { $, $$, duration, make, makeSVG } from "./dom.js";

const LEAST = 10; // µs

export class Zoom {
  /** Call changed() whenever the part is another one. */
  constructor(whole, changed) {
    this.whole = whole;
    this.low = 0;
    this.high = whole;
    this.changed = changed;
    this.map = $("[data-minimap]");
    this.ruler = $("[data-ruler]");
    this.shades = [make("div", "shade"), make("div", "shade")];
    this.map.append(...this.shades);
    const inside = (share) => this.low + share * (this.high - this.low);
    brush(this.map, (low, high) => this.set(low * whole, high * whole));
    brush(this.ruler.parentElement, (low, high) => {
      const box = this.ruler.getBoundingClientRect();
      const outer = this.ruler.parentElement.getBoundingClientRect();
      const place = (share) => Math.max(0, (outer.left + share * outer.width - box.left) / box.width);
      this.set(inside(place(low)), inside(place(high)));
    });
    for (const button of $$("[data-zoom]")) button.addEventListener("click", () => this.step(button.dataset.zoom));
  }

  get isWhole() { return this.low <= 0 && this.high >= this.whole; }
  get text() { return this.isWhole ? null : `${Math.round(this.low)}-${Math.round(this.high)}`; }

  set(low, high) {
    const part = Math.min(this.whole, Math.max(LEAST, high - low));
    this.low = Math.min(Math.max(0, low), this.whole - part);
    this.high = this.low + part;
    this.#draw();
    this.changed();
  }

  read(text) {
    const found = /^(\d+)-(\d+)$/.exec(text ?? "");
    if (found && Number(found[2]) > Number(found[1])) this.set(Number(found[1]), Number(found[2]));
  }

  step(kind) {
    const middle = (this.low + this.high) / 2;
    const half = (this.high - this.low) / 2;
    if (kind === "whole") this.set(0, this.whole);
    else if (kind === "in") this.set(middle - half / 2, middle + half / 2);
    else if (kind === "out") this.set(middle - half * 2, middle + half * 2);
    else this.set(this.low + (kind === "later" ? half : -half), this.high + (kind === "later" ? half : -half));
  }

  #draw() {
    const [left, right] = this.shades;
    left.style.width = `${(this.low / this.whole) * 100}%`;
    right.style.left = `${(this.high / this.whole) * 100}%`;
    right.style.width = `${(1 - this.high / this.whole) * 100}%`;
    const anchors = ["start", "middle", "middle", "middle", "end"];
    this.ruler.replaceChildren(...anchors.map((anchor, n) => {
      const text = makeSVG("text", { x: `${n * 25}%`, y: 15, "text-anchor": anchor });
      text.textContent = duration(this.low + ((this.high - this.low) * n) / 4);
      return text;
    }));
  }
}
