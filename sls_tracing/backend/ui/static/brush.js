// Drag over a picture to choose a part of it.

import { make } from "./dom.js";

const LEAST = 4; // pixels: less is a click

/** Call done(low, high), as shares of the element's width, after a drag over it. */
export function brush(element, done) {
  let from = null;
  let mark = null;
  const box = () => element.getBoundingClientRect();
  const share = (event) => Math.min(1, Math.max(0, (event.clientX - box().left) / box().width));
  const stop = () => {
    mark?.remove();
    from = mark = null;
  };
  element.addEventListener("pointerdown", (event) => {
    if (event.button === 0) from = share(event);
  });
  element.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const [low, high] = [from, share(event)].sort((a, b) => a - b);
    if (!mark && (high - low) * box().width < LEAST) return;
    if (!mark) {
      mark = make("div", "brush");
      element.append(mark);
      element.setPointerCapture(event.pointerId);
    }
    mark.style.left = `${low * 100}%`;
    mark.style.width = `${(high - low) * 100}%`;
  });
  element.addEventListener("pointerup", (event) => {
    const chosen = mark ? [from, share(event)].sort((a, b) => a - b) : null;
    stop();
    if (chosen) done(...chosen);
  });
  element.addEventListener("pointercancel", stop);
  element.addEventListener("dragstart", (event) => event.preventDefault()); // links in it are no things to drag away
}
