// Answering one call: yes, no, yes with changes, and a rule for such calls. What is sent is about the call that is shown.

import { parts, send } from "./page.js";

// Show the form of a verb, or none. Returns whether a form was open.
export function openForm(panel, verb) {
  const call = panel.querySelector(".call");
  const answer = panel.querySelector(".answer");
  if (!call || !answer) return false;
  const button = answer.querySelector(`.verbs [data-verb=${verb ?? "none"}]`);
  if (verb && (!button || button.disabled)) return false;
  const was = answer.querySelector("form.say:not([hidden])") ?? answer.querySelector("#rule:not([hidden])");
  for (const form of answer.querySelectorAll("form.say")) form.hidden = form.dataset.verb !== verb;
  answer.querySelector("#rule").hidden = verb !== "always";
  call.classList.toggle("editing", verb === "edit");
  for (const one of answer.querySelectorAll(".verbs button")) one.setAttribute("aria-expanded", one.dataset.verb === verb);
  complain(panel, "");
  if (verb === "always") offerRule(panel);
  else if (verb === "edit") call.querySelector("textarea.edit")?.focus();
  else if (verb) answer.querySelector(`form.say[data-verb=${verb}] input`).focus();
  else if (was) answer.querySelector(".verbs button").focus();
  if (verb) answer.scrollIntoView({ block: "nearest" });
  return was !== null;
}

export function wire(panel, { done }) {
  const call = panel.querySelector(".call");
  const answer = panel.querySelector(".answer");
  if (!answer) return;
  const id = call.dataset.id;
  const before = new Map();
  for (const field of call.querySelectorAll("textarea.edit")) before.set(field, field.value);
  answer.addEventListener("click", (event) => {
    const verb = event.target.closest(".verbs button")?.dataset.verb;
    if (verb) openForm(panel, verb);
    if (event.target.closest("[data-cancel]")) openForm(panel, null);
  });
  for (const form of answer.querySelectorAll("form.say")) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const edits = form.dataset.verb === "edit" ? changed(before) : [];
      if (form.dataset.verb === "edit" && edits.length === 0) {
        complain(panel, "Nothing was changed: approve the call as it is, or change an argument.");
        return;
      }
      await busy(form, panel, async () => {
        const body = { approved: form.dataset.verb !== "deny", reason: form.elements.reason.value, edits };
        const { said } = await send("POST", `/requests/${encodeURIComponent(id)}/answer`, body);
        done(id, said);
      });
    });
  }
  // In a field for changes Enter breaks the line; with Ctrl or Cmd it goes on to the reason.
  call.addEventListener("keydown", (event) => {
    if (event.target.matches("textarea.edit") && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      answer.querySelector("#why-edit").focus();
    }
  });
}

// Only what was changed is sent.
function changed(before) {
  return [...before].filter(([field, value]) => field.value !== value)
    .map(([field]) => ({ at: field.dataset.at, kind: field.dataset.kind, value: field.value }));
}

async function offerRule(panel) {
  const url = `/requests/${encodeURIComponent(panel.querySelector(".call").dataset.id)}/always`;
  const place = panel.querySelector("#rule");
  try {
    place.replaceChildren(parts(await send("GET", url)));
  } catch (error) {
    openForm(panel, null);
    complain(panel, error.message);
    return;
  }
  const form = place.querySelector("#scope");
  form.querySelector("select").focus();
  const wanted = () => ({
    scope: Object.fromEntries([...form.querySelectorAll("[data-name]")].map((one) => [one.dataset.name, one.value])),
    lifetime: form.querySelector("#lifetime").value,
  });
  form.addEventListener("change", () => place.querySelector("#change").replaceChildren());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await busy(form, panel, async () => {
      place.querySelector("#change").replaceChildren(parts(await send("POST", url, wanted())));
      const write = place.querySelector("#write");
      write.querySelector("button").focus();
      write.addEventListener("submit", async (again) => {
        again.preventDefault();
        await busy(write, panel, async () => {
          const { digest, until } = write.dataset;
          const { said } = await send("POST", url, { ...wanted(), digest, until });
          openForm(panel, null);
          const note = document.createElement("p");
          note.className = "notice good";
          note.setAttribute("role", "status");
          note.textContent = said;
          panel.querySelector(".answer").append(note);
        });
      });
    });
  });
}

async function busy(form, panel, work) {
  const buttons = [...form.querySelectorAll("button")];
  complain(panel, "");
  for (const button of buttons) button.disabled = true;
  try {
    await work();
  } catch (error) {
    complain(panel, error.message);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

function complain(panel, text) {
  const place = panel.querySelector("#refused");
  if (!place) return;
  place.hidden = !text;
  place.textContent = text;
}
