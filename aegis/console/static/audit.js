// The live tail of the audit page: calls are put on top as they begin, and brought up to date as they end.

import { parts } from "./page.js";

const box = document.querySelector("#tail");
const calls = document.querySelector("#calls");
const skipped = document.querySelector("#skipped");
const MOST = 500;
let events = null;

// On a phone the filters are folded up unless some are set.
if (matchMedia("(max-width: 760px)").matches && !box.dataset.query) document.querySelector("#fold").open = false;
let left = 0;

function update({ rows, skipped: out, problem }) {
  for (const [id, html] of rows) {
    // A row cannot stand alone in a template without its table.
    const row = parts(`<table><tbody>${html}</tbody></table>`).querySelector("tr");
    const known = document.getElementById(`c-${id}`);
    if (known) known.replaceWith(row);
    else calls.prepend(row);
    row.classList.add("new");
  }
  while (calls.children.length > MOST) calls.lastElementChild.remove();
  left += out;
  skipped.hidden = !left && !problem;
  skipped.textContent = problem ?? `${left} more calls ran than can be shown here as they do; load the page again.`;
  if (rows.length) document.querySelector("#none").hidden = true;
}

box.addEventListener("change", () => {
  events?.close();
  events = null;
  if (!box.checked) return;
  events = new EventSource(`/audit/events?${box.dataset.query}`);
  events.addEventListener("trail", (event) => update(JSON.parse(event.data)));
});
for (const end of ["pagehide", "leaving"]) window.addEventListener(end, () => events?.close());
