// Tables whose columns sort, and forms of choices that need no button.

import { $$, make } from "./dom.js";

const value = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();

function sortable(table) {
  const heads = $$("thead th", table);
  heads.forEach((head, column) => {
    if (!head.textContent.trim() || head.querySelector(".hidden")) return;
    const button = make("button", "", { type: "button" }, head.textContent);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      const rows = [...body.rows];
      const numeric = rows.every((row) => value(row, column) === "" || !Number.isNaN(Number(value(row, column))));
      const order = numeric
        ? (a, b) => Number(value(a, column)) - Number(value(b, column))
        : (a, b) => value(a, column).localeCompare(value(b, column));
      body.append(...rows.sort((a, b) => (down ? order(b, a) : order(a, b))));
    });
  });
}

for (const table of $$("table[data-sortable]")) sortable(table);

for (const form of $$("form[data-at-once]")) {
  form.addEventListener("change", () => form.requestSubmit());
  $$("button", form).forEach((button) => { button.hidden = true; });
}
