// A file goes to the server as it is; the answer says where its traces are.

import { $, make } from "./dom.js";

const form = $("[data-upload]");
const drop = $("[data-drop]");
const problem = $("[data-problem]");

async function send(file) {
  problem.hidden = true;
  const response = await fetch(form.action, { method: "POST", body: file, headers: { "Content-Type": "application/json" } });
  const answer = await response.json();
  if (answer.problem) {
    problem.textContent = answer.problem;
    problem.hidden = false;
  } else if (answer.traces.length === 1) {
    location.href = answer.traces[0].path;
  } else {
    $("[data-opened]").replaceChildren(...answer.traces.map((each) =>
      make("li", "", {}, make("a", "", { href: each.path }, each.spans))));
  }
}

drop.hidden = false;
$("[data-paste]").open = false;
$("[data-file]").addEventListener("change", (event) => event.target.files[0] && send(event.target.files[0]));
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", name === "dragenter" || name === "dragover");
    if (name === "drop" && event.dataTransfer.files[0]) send(event.dataTransfer.files[0]);
  });
}
