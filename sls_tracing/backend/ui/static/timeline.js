// The timeline of a trace: folding, finding, zooming, what a span holds, and all of it by keyboard.

import { $, changeAddress, fetchPage, isTyping } from "./dom.js";
import { Rows } from "./rows.js";
import { Spans } from "./spans.js";
import { Zoom } from "./zoom.js";

const PAGE = 20; // rows that PageDown goes

const timeline = $("[data-timeline]");
const here = timeline.dataset.url;
const block = $("[data-spans]");
const spans = new Spans(block ? JSON.parse(block.textContent) : await (await fetch(`${here}/timeline`)).json());
const address = new URL(location.href).searchParams;
const folded = new Set();
const sidecars = $("[data-sidecars]");
const zoom = new Zoom(spans.duration, () => {
  changeAddress({ zoom: zoom.text });
  rows?.redraw();
});
const rows = new Rows($("[data-rows]"), spans, zoom);

const show = () => rows.show(spans.visible(folded, Boolean(sidecars?.checked)), folded);

// -- folding -----------------------------------------------------------------------------------------------------------------

function fold(n, closed) {
  if (closed) folded.add(n);
  else folded.delete(n);
  show();
}

function reveal(n) {
  if (sidecars?.checked && spans.isSidecar(n)) setSidecars(false);
  spans.ancestors(n).forEach((each) => folded.delete(each));
  show();
}

function setSidecars(checked) {
  sidecars.checked = checked;
  changeAddress({ sidecars: checked ? "folded" : null });
  show();
}

$("[data-expand]").addEventListener("click", () => { folded.clear(); show(); });
$("[data-collapse]").addEventListener("click", () => {
  spans.all.forEach((span, n) => span.depth && spans.hasChildren(n) && folded.add(n));
  show();
});
sidecars?.addEventListener("change", () => setSidecars(sidecars.checked));
$("[data-critical]").addEventListener("change", (event) => timeline.classList.toggle("show-critical", event.target.checked));
$("[data-colour]").addEventListener("change", (event) => {
  timeline.classList.remove("by-heat", "by-error");
  timeline.classList.add(`by-${event.target.value}`);
  changeAddress({ colour: event.target.value === "service" ? null : event.target.value });
});

// -- what a span holds -------------------------------------------------------------------------------------------------------

const panel = $("[data-panel]");
let asked = null;

async function open(n) {
  rows.select(n);
  asked?.abort();
  asked = new AbortController();
  const key = spans.all[n].key;
  try {
    const detail = $(".detail", await fetchPage(`${here}/spans/${key}`, asked.signal));
    panel.replaceChildren(detail);
    panel.hidden = false;
    changeAddress({ span: key });
    rows.later();
  } catch (error) {
    if (error.name === "AbortError") return;
    panel.textContent = "What this span holds cannot be fetched.";
    panel.hidden = false;
  }
}

function close() {
  panel.hidden = true;
  rows.select(-1);
  changeAddress({ span: null });
  rows.focus(rows.current);
}

panel.addEventListener("click", (event) => {
  if (!event.target.closest("[data-close]")) return;
  event.preventDefault();
  close();
});

rows.holder.addEventListener("click", (event) => {
  const row = event.target.closest(".row");
  if (!row || String(getSelection())) return;
  const n = Number(row.dataset.n);
  rows.focus(n);
  if (event.target.closest("[data-fold]")) fold(n, !folded.has(n));
  else open(n);
});

// -- finding -----------------------------------------------------------------------------------------------------------------

const find = $("[data-find]");
const output = $("[data-found]");
let hits = [];
let hit = -1;

async function search() {
  const wanted = find.value.trim();
  changeAddress({ find: wanted, uiFind: null });
  const keys = wanted ? await (await fetch(`${here}/find?${new URLSearchParams({ q: wanted })}`)).json() : [];
  if (wanted !== find.value.trim()) return; // typing went on
  hits = keys.map((key) => spans.numbers.get(key)).filter((n) => n !== undefined);
  hit = -1;
  rows.found = new Set(hits);
  output.textContent = wanted ? `${hits.length} found` : "";
  rows.redraw();
}

function go(step, quietly) {
  if (!hits.length) return;
  hit = (hit + step + hits.length) % hits.length;
  reveal(hits[hit]);
  rows.focus(hits[hit], { quietly, middle: true });
  output.textContent = `${hit + 1} of ${hits.length}`;
}

function nextFailed() {
  const from = rows.current;
  for (let step = 1; step <= spans.length; step += 1) {
    const n = (from + step) % spans.length;
    if (spans.hasFailed(n)) {
      reveal(n);
      rows.focus(n, { middle: true });
      return;
    }
  }
}

let typing = 0;
find.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(search, 150);
});
find.addEventListener("keydown", (event) => {
  if (event.key === "Enter") go(event.shiftKey ? -1 : 1, true);
  else if (event.key === "Escape") { find.value = ""; search(); rows.focus(rows.current); }
  else return;
  event.preventDefault();
});

// -- keys --------------------------------------------------------------------------------------------------------------------

const dialog = $("[data-keys-dialog]");
$("[data-keys]").addEventListener("click", () => dialog.showModal());

function move(step) {
  const place = rows.places.get(rows.current) + step;
  const n = rows.view.rows[Math.max(0, Math.min(rows.view.rows.length - 1, place))];
  rows.focus(n);
  if (!panel.hidden) open(n);
}

const parent = () => spans.ancestors(rows.current).find((n) => rows.places.has(n));

const ROW_KEYS = {
  ArrowDown: () => move(1),
  ArrowUp: () => move(-1),
  PageDown: () => move(PAGE),
  PageUp: () => move(-PAGE),
  Home: () => move(-Infinity),
  End: () => move(Infinity),
  ArrowRight: () => (folded.has(rows.current) ? (fold(rows.current, false), rows.focus(rows.current)) : spans.hasChildren(rows.current) && move(1)),
  ArrowLeft: () => {
    if (spans.hasChildren(rows.current) && !folded.has(rows.current)) { fold(rows.current, true); rows.focus(rows.current); }
    else if (parent() !== undefined) rows.focus(parent());
  },
  Enter: () => (rows.selected === rows.current && !panel.hidden ? $("#span-title")?.focus() : open(rows.current)),
};

const PAGE_KEYS = {
  "/": () => { find.focus(); find.select(); },
  "?": () => dialog.showModal(),
  n: () => go(1),
  p: () => go(-1),
  e: nextFailed,
  s: () => sidecars && setSidecars(!sidecars.checked),
  "+": () => zoom.step("in"),
  "=": () => zoom.step("in"),
  "-": () => zoom.step("out"),
  0: () => zoom.step("whole"),
  Escape: () => !panel.hidden && close(),
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || dialog.open || isTyping(event.target)) return;
  const inRows = event.target.closest?.(".row");
  let act = PAGE_KEYS[event.key];
  if (event.shiftKey && event.key.startsWith("Arrow")) act = { ArrowLeft: () => zoom.step("earlier"), ArrowRight: () => zoom.step("later") }[event.key];
  else if (inRows && ROW_KEYS[event.key]) act = ROW_KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

// -- what the address says ---------------------------------------------------------------------------------------------------

if (sidecars) sidecars.checked = address.get("sidecars") === "folded";
const colour = $("[data-colour]");
if ([...colour.options].some((each) => each.value === address.get("colour"))) colour.value = address.get("colour");
timeline.classList.add(`by-${colour.value}`);
show();
zoom.read(address.get("zoom"));
const wanted = spans.numbers.get(address.get("span") ?? location.hash.slice(2));
if (wanted !== undefined) {
  reveal(wanted);
  rows.select(wanted);
  rows.focus(wanted, { quietly: true, middle: true });
}
if (find.value) await search();
if (find.value && wanted === undefined) go(1, true);
timeline.dataset.ready = "";
