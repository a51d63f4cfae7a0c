// The inbox: rows come and go as the server tells; keys and clicks choose one, and its call is shown beside them.

import { openForm, wire } from "./answer.js";
import { isTyping, parts, send, showAges, toast } from "./page.js";

const rows = document.querySelector("#rows");
const panel = document.querySelector("#panel");
const total = document.querySelector("#total");
const live = document.querySelector("#live");
const narrow = matchMedia("(max-width: 760px)");
let chosen = panel.querySelector(".call")?.dataset.id ?? null;
let asked = 0;

const rowOf = (id) => (id ? document.getElementById(`r-${id}`) : null);

function mark(id) {
  rows.querySelector("[aria-current]")?.removeAttribute("aria-current");
  const row = rowOf(id);
  row?.firstElementChild.closest("li").setAttribute("aria-current", "true");
  return row;
}

async function show(id, { focus = false } = {}) {
  chosen = id;
  mark(id);
  const number = ++asked;
  // Until the chosen call is there nothing can be answered: not the one that is still shown.
  if (panel.querySelector(".call")?.dataset.id !== id) panel.inert = true;
  const html = await send("GET", `/requests/${encodeURIComponent(id)}/panel`);
  if (number !== asked) return; // another one was chosen meanwhile
  panel.replaceChildren(parts(html));
  panel.inert = false;
  panel.scrollTop = 0;
  wire(panel, { done: answered });
  showAges();
  const wasOpen = document.body.classList.contains("open");
  document.body.classList.add("open");
  const url = `/requests/${encodeURIComponent(id)}`;
  if (narrow.matches && !wasOpen) history.pushState({}, "", url);
  else history.replaceState({}, "", url);
  if (focus || narrow.matches) panel.focus({ preventScroll: true });
}

const choose = (id, options) => show(id, options).catch((error) => toast(error.message));

function close() {
  chosen = null;
  panel.inert = false;
  asked++;
  mark(null);
  document.body.classList.remove("open");
  history.replaceState({}, "", "/");
}

function neighbour(step) {
  const row = rowOf(chosen);
  if (!row) return rows.firstElementChild;
  return step > 0 ? row.nextElementSibling : row.previousElementSibling;
}

function move(step) {
  const row = neighbour(step);
  if (!row) return;
  row.firstElementChild.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
  choose(row.dataset.id);
}

// What a person answered leaves the list at once; the server will say the same a moment later.
function answered(id, said) {
  toast(said);
  const next = neighbour(1) ?? neighbour(-1);
  rowOf(id)?.remove();
  count(Math.max(0, Number(total.textContent) - 1));
  if (narrow.matches || !next) {
    close();
    panel.replaceChildren();
    (next?.firstElementChild ?? document.querySelector("#main")).focus();
  } else {
    next.firstElementChild.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
    choose(next.dataset.id);
  }
}

function count(number) {
  total.textContent = number;
  document.title = (number ? `(${number}) ` : "") + "Inbox · Aegis";
  document.querySelector("#empty").hidden = number > 0;
  const more = document.querySelector("#more");
  more.hidden = number <= rows.children.length;
  more.textContent = `${number - rows.children.length} more follow as these are answered.`;
}

// Many calls may arrive at once: one sentence speaks for all of them.
const announce = document.querySelector("#announce");
let arrived = [];
let announceSoon = 0;
function say(row) {
  arrived.push(row);
  announceSoon ||= setTimeout(() => {
    const first = arrived[0].querySelector(".first").textContent.replace(/\s+/g, " ").trim();
    announce.textContent = arrived.length === 1 ? `New call: ${first}` : `${arrived.length} new calls wait`;
    arrived = [];
    announceSoon = 0;
  }, 1500);
}

function update({ total: number, ids, add, remove, problem }) {
  const wanted = ids && new Set(ids);
  const gone = ids ? [...rows.children].map((row) => row.dataset.id).filter((id) => !wanted.has(id)) : remove;
  for (const id of gone) {
    rowOf(id)?.remove();
    if (id === chosen && panel.querySelector(".call")?.dataset.state === "pending") {
      choose(id); // answered elsewhere, or withdrawn: show by whom
    }
  }
  const fresh = document.createDocumentFragment();
  for (const [id, html] of add) {
    if (rowOf(id)) continue;
    const row = parts(html).firstElementChild;
    if (!ids) say(row);
    fresh.append(row);
  }
  rows.append(fresh);
  if (chosen) mark(chosen);
  count(number);
  const notice = document.querySelector("#problem");
  notice.hidden = !problem;
  notice.textContent = problem ?? "";
}

function connect() {
  const events = new EventSource("/events");
  const state = (name) => {
    live.dataset.state = name;
    live.textContent = name;
  };
  events.addEventListener("inbox", (event) => {
    state("live");
    update(JSON.parse(event.data));
  });
  events.addEventListener("error", () => {
    state("reconnecting");
    if (events.readyState !== EventSource.CLOSED) return;
    // Not an interruption but an answer: no longer logged in, or too many pages.
    setTimeout(() => send("GET", "/chain").then(connect, () => setTimeout(connect, 5000)), 1000);
  });
  for (const end of ["pagehide", "leaving"]) window.addEventListener(end, () => events.close());
}

rows.addEventListener("click", (event) => {
  const row = event.target.closest("li");
  if (!row || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  choose(row.dataset.id, { focus: event.detail === 0 });
});

panel.addEventListener("click", (event) => {
  if (event.target.id !== "back") return;
  const row = rowOf(chosen);
  close();
  row?.firstElementChild.focus();
});

window.addEventListener("popstate", close);

const VERBS = { a: "approve", d: "deny", e: "edit", w: "always" };
document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") {
    if (!openForm(panel, null)) close();
    return;
  }
  if (isTyping(event)) return;
  if (event.key === "j" || event.key === "ArrowDown") move(1);
  else if (event.key === "k" || event.key === "ArrowUp") move(-1);
  else if (VERBS[event.key] && panel.querySelector(".call")?.dataset.id === chosen) openForm(panel, VERBS[event.key]);
  else return;
  event.preventDefault();
});

if (chosen) {
  wire(panel, { done: answered });
  mark(chosen)?.scrollIntoView({ block: "nearest" });
}
count(Number(total.textContent));
connect();
