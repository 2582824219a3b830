// What every script of the site uses.

export const $ = (selector, within = document) => within.querySelector(selector);
export const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

/** Make an element with a class, attributes and children. Children that are text stay text: nothing here reads HTML. */
export function make(tag, className = "", attributes = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function makeSVG(tag, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Fetch a page of ours and return its document; throw if it is none. */
export async function fetchPage(url, signal) {
  const response = await fetch(url, { signal });
  if (!response.ok) throw new Error(`${response.status}`);
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

/** Change parameters of the page's address without leaving it; null takes one away. */
export function changeAddress(changes) {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  history.replaceState(history.state, "", url);
}

/** The same text as words.duration has, from microseconds. */
export function duration(micros) {
  const seconds = micros / 1e6;
  if (seconds >= 59.5) return `${Math.floor(Math.round(seconds) / 60)} min ${Math.round(seconds) % 60} s`;
  for (const [factor, unit] of [[1, "s"], [1e3, "ms"]]) {
    const value = seconds * factor;
    if (value >= 1) return `${value < 99.95 ? Number(value.toPrecision(3)) : Math.round(value)} ${unit}`;
  }
  return `${Math.round(micros)} µs`;
}

export const isTyping = (element) => Boolean(element?.closest("input:not([type=checkbox]), textarea, select"));
