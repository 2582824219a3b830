// The search page: operations follow the service, examples fill in, new traces appear by themselves, brushing zooms.

import { brush } from "./brush.js";
import { $, $$, changeAddress, fetchPage, make } from "./dom.js";

const EVERY = 3000; // ms between two looks for new traces

const form = $("[data-search]");

function followService() {
  const service = $("#service");
  const operation = $("#operation");
  service.addEventListener("change", async () => {
    const first = operation.options[0];
    operation.replaceChildren(first);
    if (!service.value) return;
    const response = await fetch(`${form.dataset.operations}?${new URLSearchParams({ service: service.value })}`);
    const found = await response.json();
    const names = [...new Set((found.data ?? []).map((each) => each.name))].sort();
    operation.replaceChildren(first, ...names.map((name) => make("option", "", {}, name)));
  });
}

function fillIn() {
  const tags = $("#tags");
  for (const button of $$("[data-example]")) {
    button.addEventListener("click", () => {
      const begun = tags.value.trim();
      tags.value = begun ? `${begun} ${button.dataset.example}` : button.dataset.example;
      tags.focus();
    });
  }
  const lookback = $("#lookback");
  const exact = $("[data-exact]");
  lookback.addEventListener("change", () => {
    exact.open = lookback.value === "custom";
    if (!exact.open) $$("input", exact).forEach((field) => { field.value = ""; });
  });
  exact.addEventListener("input", () => { lookback.value = "custom"; });
}

function shortenAddress() {
  const usual = { limit: "20", sort: "recent" };
  form.addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData]) {
      if (value === "" || usual[name] === value) event.formData.delete(name);
    }
  });
}

function prepareResults() {
  const plot = $("[data-plot]");
  if (plot) {
    brush($("[data-area]", plot), (low, high) => {
      // The plot keeps 1 % free on either side, for dots at the edge (charts.py).
      const place = (share) => Math.min(1, Math.max(0, (share - 0.01) / 0.98));
      const [from, to] = [Number(plot.dataset.from), Number(plot.dataset.to)];
      const micros = (share, round) => round((from + (to - from) * place(share)) * 1e6);
      const url = new URL(location.href);
      url.searchParams.set("start", micros(low, Math.floor));
      url.searchParams.set("end", micros(high, Math.ceil));
      url.searchParams.delete("lookback");
      location.href = url;
    });
  }
  const choose = $("[data-choose]");
  if (choose) {
    const button = $(".choose button", choose);
    const update = () => {
      const chosen = $$("input:checked", choose);
      button.disabled = chosen.length !== 2;
      $$("input", choose).forEach((each) => { each.disabled = chosen.length >= 2 && !each.checked; });
      choose.classList.toggle("idle", chosen.length === 0);
    };
    choose.addEventListener("change", update);
    update();
  }
}

function keepLooking() {
  const live = $("[data-live]");
  live.closest("[data-live-switch]").hidden = false;
  let timer = 0;
  const look = async () => {
    const old = $("[data-results]");
    if (document.hidden || $("[data-choose] input:checked") || $(".brush")) return;
    let fresh;
    try {
      fresh = $("[data-results]", await fetchPage(location.href));
    } catch {
      return; // the next look may succeed
    }
    if (!fresh) return;
    const known = new Set($$("[data-id]", old).map((each) => each.dataset.id));
    const arrived = $$("[data-id]", fresh).filter((each) => !known.has(each.dataset.id));
    if (!arrived.length) return;
    arrived.forEach((each) => each.classList.add("new"));
    replaceResults(old, fresh);
    $("[data-said]").textContent = `${arrived.length} new trace${arrived.length === 1 ? "" : "s"}`;
  };
  const change = () => {
    changeAddress({ live: live.checked ? "1" : null });
    clearInterval(timer);
    if (live.checked) timer = setInterval(look, EVERY);
  };
  live.addEventListener("change", change);
  if (live.checked) change();
}

/** Put new results in place, but for the heading's switch and what a hand or a screen reader holds. */
function replaceResults(old, fresh) {
  const focused = document.activeElement?.closest("[data-id]")?.dataset.id;
  const selector = document.activeElement?.matches("a") ? "a" : "input";
  $("#results", old).textContent = $("#results", fresh).textContent;
  const keep = [".found-head", "[data-said]"].map((each) => $(each, old));
  for (const child of [...old.children]) if (!keep.includes(child)) child.remove();
  for (const child of [...fresh.children]) if (!child.matches(".found-head, [data-said]")) old.append(child);
  prepareResults();
  if (focused) $(`[data-id="${CSS.escape(focused)}"] ${selector}`)?.focus({ preventScroll: true });
}

followService();
fillIn();
shortenAddress();
prepareResults();
keepLooking();
