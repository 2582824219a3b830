// The query box: names of fields while typing, Ctrl+Enter runs, an error shows where it is.

import "./tables.js";
import { $, $$, make } from "./dom.js";

const query = $("#query");
const list = $("#completions");
const fields = JSON.parse($("[data-fields]").textContent);
const SHOWN = 12;
let chosen = -1;

query.setAttribute("aria-autocomplete", "list");
query.setAttribute("aria-controls", "completions");

const begunWord = () => /"?[\w.:-]*$/.exec(query.value.slice(0, query.selectionStart))[0];

/** A name as the half of the query wants it where the cursor is: SQL quotes what is no plain name, a search what has a colon or a space. */
function asWritten(name, before) {
  const inSQL = before.includes("|");
  return (inSQL ? /[^A-Za-z0-9_]/ : /[:\s]/).test(name) ? `"${name}"` : name;
}

function insert(name) {
  const end = query.selectionStart;
  const begin = end - begunWord().length;
  query.setRangeText(asWritten(name, query.value.slice(0, begin)), begin, end, "end");
  close();
  query.focus();
}

function close() {
  list.hidden = true;
  chosen = -1;
  query.removeAttribute("aria-activedescendant");
}

function offer() {
  const begun = begunWord().replace('"', "").toLowerCase();
  const rank = (name) => name.toLowerCase().indexOf(begun);
  const found = begun.length < 2 ? [] : fields.filter((name) => rank(name) >= 0 && name.toLowerCase() !== begun).sort((a, b) => rank(a) - rank(b)).slice(0, SHOWN);
  close();
  list.replaceChildren(...found.map((name, n) => {
    const item = make("li", "", { role: "option", id: `completion-${n}`, "aria-selected": "false" }, name);
    item.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      insert(name);
    });
    return item;
  }));
  list.hidden = !found.length;
}

function move(step) {
  const items = $$("li", list);
  chosen = (chosen + step + items.length) % items.length;
  items.forEach((item, n) => item.setAttribute("aria-selected", String(n === chosen)));
  query.setAttribute("aria-activedescendant", items[chosen].id);
  items[chosen].scrollIntoView({ block: "nearest" });
}

query.addEventListener("input", offer);
query.addEventListener("blur", close);
query.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) query.form.requestSubmit();
  else if (list.hidden) return;
  else if (event.key === "ArrowDown") move(1);
  else if (event.key === "ArrowUp") move(chosen < 0 ? 0 : -1);
  else if (event.key === "Enter" || event.key === "Tab") {
    if (chosen < 0 && event.key === "Enter") return;
    insert(list.children[Math.max(0, chosen)].textContent);
  } else if (event.key === "Escape") close();
  else return;
  event.preventDefault();
});

if (query.dataset.offset) {
  query.focus();
  const at = Number(query.dataset.offset);
  query.setSelectionRange(at, at + 1);
}

// Another time than the exact one that a bar of the histogram led to.
$("#time").addEventListener("change", () => $$("[data-exact]").forEach((field) => field.remove()));

// A query that was changed is no longer the named analysis, and how to show it is a matter of the address.
query.form.addEventListener("formdata", (event) => {
  if (event.formData.get("time") === "") event.formData.delete("time");
});
$("#chart").addEventListener("change", () => query.form.requestSubmit());
