// What every page does: keys' help, theme, ages, logging out, the chain's status; and how anything is sent.

const csrf = document.querySelector("meta[name=csrf]").content;
const find = (selector, inside = document) => inside.querySelector(selector);

export async function send(method, url, body) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") {
    headers["X-CSRF-Token"] = csrf;
    headers["Content-Type"] = "application/json";
  }
  const response = await fetch(url, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  if (response.status === 401) {
    location.assign("/login");
    throw new Error("You are not logged in any more.");
  }
  const isJson = (response.headers.get("content-type") ?? "").includes("json");
  const found = isJson ? await response.json() : await response.text();
  if (!response.ok) throw new Error(isJson ? found.error : `The console answered ${response.status}.`);
  return found;
}

let toastEnds = 0;
export function toast(text) {
  const place = find("#toast");
  place.textContent = text;
  place.classList.add("on");
  clearTimeout(toastEnds);
  toastEnds = setTimeout(() => place.classList.remove("on"), 6000);
}

export const isTyping = (event) =>
  event.metaKey || event.ctrlKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable]") !== null;

export function parts(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

export function showAges() {
  const now = Date.now();
  for (const time of document.querySelectorAll("time.age")) {
    const seconds = Math.max(0, Math.floor((now - Number(time.dataset.at)) / 1000));
    const unit = [[86400, "d"], [3600, "h"], [60, "m"]].find(([size]) => seconds >= size);
    const text = unit ? `${Math.floor(seconds / unit[0])}${unit[1]}` : `${seconds}s`;
    if (time.textContent !== text) time.textContent = text;
  }
}
setInterval(showAges, 5000);

// The theme: as the system, light, dark, and round again.
const themeButton = find("#theme");
function nameTheme() {
  const theme = document.documentElement.dataset.theme;
  themeButton?.setAttribute("aria-label", `Theme: ${theme ?? "as the system"}`);
  themeButton?.setAttribute("title", `Theme: ${theme ?? "as the system"}`);
}
themeButton?.addEventListener("click", () => {
  const root = document.documentElement;
  const next = { undefined: "light", light: "dark", dark: undefined }[root.dataset.theme];
  if (next) root.dataset.theme = next;
  else delete root.dataset.theme;
  try {
    if (next) localStorage.setItem("aegis-theme", next);
    else localStorage.removeItem("aegis-theme");
  } catch {
    // It holds for this page, then.
  }
  nameTheme();
});
nameTheme();

// The keys.
const keys = find("#keys");
find("#help")?.addEventListener("click", () => keys.showModal());
document.addEventListener("keydown", (event) => {
  if (isTyping(event)) return;
  if (event.key === "?") keys?.showModal();
  if (event.key === "/" && find("#filters")) {
    event.preventDefault();
    find("#filters input").focus();
  }
});

find("#logout")?.addEventListener("click", async () => {
  dispatchEvent(new Event("leaving"));
  const { to } = await send("POST", "/logout");
  location.assign(to);
});

// The chain's status, looked at again from time to time, and more often while it is checked.
const chain = find("#chain");
let looking = 0;
function lookIn(seconds) {
  clearTimeout(looking);
  looking = setTimeout(() => lookAtChain().catch(() => lookIn(30)), seconds * 1000);
}
async function lookAtChain() {
  const status = parts(await send("GET", "/chain"));
  status.querySelector("details").open = find("details", chain).open;
  const wasInside = chain.contains(document.activeElement) && document.activeElement.tagName;
  chain.replaceChildren(status);
  if (wasInside) find(wasInside, chain)?.focus(); // whoever was there stays there
  lookIn(find(".s-checking", chain) ? 1 : 30);
}
if (chain) {
  lookIn(3);
  window.addEventListener("leaving", () => clearTimeout(looking));
  chain.addEventListener("click", async (event) => {
    if (event.target.id !== "verify") return;
    toast((await send("POST", "/chain")).said);
    lookIn(0);
  });
  document.addEventListener("click", (event) => {
    if (!chain.contains(event.target)) find("details", chain).open = false;
  });
}
