// SPDX-License-Identifier: MIT
// What pages do besides: times in the reader's zone, copy buttons, files that are dropped, a pop-up for Google, results
// while one types, and parts that follow what changes.  Every page works without this file.

const language = document.documentElement.lang;
const zoned = new Intl.DateTimeFormat(navigator.languages.find((one) => one.startsWith(language)) ?? language, {
  dateStyle: "medium",
  timeStyle: "short",
});
// Within a sentence a time is written out.
const written = {
  moment: zoned,
  day: new Intl.DateTimeFormat(zoned.resolvedOptions().locale, { dateStyle: "long" }),
};
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
const parser = new DOMParser();

// --- times ---

function sayTime(element) {
  const when = new Date(element.dateTime);
  const minutes = Math.round((when - Date.now()) / 60000);
  element.title = zoned.format(when);
  const form = written[element.dataset.as];
  if (form) element.textContent = form.format(when);
  else element.textContent = Math.abs(minutes) < 60 ? relative.format(minutes, "minute") : element.title;
}

// --- what changes ---

// Whoever is signed out, or may not see the page any more, is not left with what was on it.
const gone = new Set([401, 403, 404]);
const shown = new WeakMap();
const remember = (part) => shown.set(part, part.innerHTML);
let etag = "";
let looking = false;
let again = false;
let pressed = false;
let letGo = null;
let arrived = false;
let leaving = false;
// Whether the last look was told that the session is over.
let doubted = false;

function dress(root) {
  for (const part of root.querySelectorAll("[data-live]")) if (!shown.has(part)) remember(part);
  for (const element of root.querySelectorAll("time[datetime]")) sayTime(element);
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
  for (const box of root.querySelectorAll("[data-all]")) box.hidden = false;
}

function swap(part, fresh) {
  const html = fresh?.innerHTML ?? "";
  if (html === shown.get(part)) return;
  const reached = "a, button, input, select";
  const at = [...part.querySelectorAll(reached)].indexOf(document.activeElement);
  // In a table rows come and go: what was selected or had the focus is known by its name or address.
  const known = (element) => element?.name || element?.getAttribute?.("href");
  const focused = at >= 0 ? known(document.activeElement) : "";
  const chosen = new Set([...part.querySelectorAll("input[type=checkbox]:checked")].map(known));
  const before = part.querySelector("[data-say]")?.textContent;
  shown.set(part, html);
  part.replaceChildren(...(fresh?.childNodes ?? []));
  dress(part);
  // What went well when it was asked for is no news any more.
  if (part.id === "standing" && part.querySelector(".note")) document.querySelector(".note.good[role]")?.remove();
  for (const box of part.querySelectorAll("input[type=checkbox]")) if (chosen.has(box.name)) box.checked = true;
  const same = [...part.querySelectorAll(reached)].find((element) => focused && known(element) === focused);
  if (at >= 0) (same ?? part.querySelectorAll(reached)[at])?.focus();
  const after = part.querySelector("[data-say]")?.textContent;
  if (after && after !== before) document.getElementById("said").textContent = after;
}

function show(next) {
  document.title = next.title;
  if (next.body.dataset.page === document.body.dataset.page) {
    const message = "#main > .note[role]";
    const note = next.querySelector(message);
    if (note) {
      document.querySelector(message)?.remove();
      document.getElementById("main").prepend(note);
    }
    for (const part of document.querySelectorAll("[data-live]")) swap(part, next.getElementById(part.id));
    return;
  }
  // Another page stands here now: somebody has signed in, or out.
  for (const name of ["page", "events", "gone"]) {
    if (name in next.body.dataset) document.body.dataset[name] = next.body.dataset[name];
    else delete document.body.dataset[name];
  }
  document.body.replaceChildren(...next.body.childNodes);
  dress(document.body);
  arriveAt("main");
  listen();
}

// For screen readers; the header stays in view.
function arriveAt(id) {
  document.getElementById(id).focus({ preventScroll: true });
  scrollTo(0, 0);
}

// The session is over: the frame stays, what was inside goes.
function signedOut(next) {
  events?.close();
  clearInterval(polling);
  etag = "";
  delete document.body.dataset.events;
  // Whoever signs in again gets all of the page that the address names.
  document.body.dataset.page = "signed out";
  document.title = next.title;
  document.querySelector(".user")?.remove();
  document.getElementById("main").replaceChildren(...next.getElementById("main").childNodes);
  document.getElementById("said").textContent = document.querySelector("h1").textContent;
  arriveAt("main");
}

async function look() {
  if (leaving) return;
  if (looking) return void (again = true);
  looking = true;
  const arriving = arrived;
  let answered = false;
  arrived = false;
  try {
    // Only who arrives takes the message of the next page.
    const headers = { "Ldapgw-Live": arriving ? "arrival" : "look", ...(etag && { "If-None-Match": etag }) };
    // Where a form was sent to may be no page.
    const answer = await fetch(document.body.dataset.look ?? location.href, { headers, cache: "no-store" });
    answered = answer.status < 500 && answer.status !== 429;
    if (leaving) {
      // What the form leads to is the news.
    } else if (answer.ok) {
      doubted = false;
      const next = parser.parseFromString(await answer.text(), "text/html");
      // A button that moves or is replaced between press and release would not be pressed.
      if (pressed) await released();
      etag = answer.headers.get("ETag") ?? "";
      show(next);
    } else if (answer.status === 404 && document.body.dataset.gone) {
      location.replace(document.body.dataset.gone);
    } else if (answer.status === 403 && document.body.dataset.events && !doubted) {
      // A consent replaces the session, perhaps while this was under way.
      doubted = true;
      setTimeout(look, 1000);
    } else if (answer.status === 403 && document.body.dataset.events) {
      signedOut(parser.parseFromString(await answer.text(), "text/html"));
    } else if (gone.has(answer.status) && document.body.dataset.events) {
      location.reload();
    }
  } catch {
    // Not to be reached now; the next look will tell.
  }
  looking = false;
  if (arriving && !answered) {
    // Where nobody was signed in there are no events, and nothing else would tell.
    arrived = true;
    setTimeout(look, 2000);
  }
  if (again) {
    again = false;
    look();
  }
}

function press(event) {
  pressed = event.type === "pointerdown" || event.key === " ";
}

function release() {
  pressed = false;
  // What was pressed hears of it first.
  setTimeout(() => letGo?.());
}

// Some menus of browsers swallow the release.
const released = () => new Promise((done) => setTimeout((letGo = done), 2000));

let events = null;
let polling = 0;

function listen() {
  events?.close();
  clearInterval(polling);
  const address = document.body.dataset.events;
  if (!address || document.hidden || !document.querySelector("[data-live]")) return;
  events = new EventSource(address);
  events.onopen = look;
  events.onmessage = look;
  events.onerror = () => {
    // While it tries by itself, it is left to; a proxy that lets no events through ends that.
    if (events.readyState !== EventSource.CLOSED) return;
    polling = setInterval(look, 5000);
  };
}

// --- the pop-up ---

const channel = new BroadcastChannel("ldapgw");
channel.onmessage = () => {
  arrived = true;
  look();
};

function openWindow(event) {
  const link = event.target.closest?.("a[data-popup]");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || innerWidth < 700) return;
  const address = new URL(link.href);
  address.searchParams.set("popup", "");
  const left = screenX + Math.max((outerWidth - 560) / 2, 0);
  // Where none can be had, the link leads there in this window.
  if (open(address, "ldapgw", `popup,width=560,height=720,left=${left},top=${screenY + 60}`)) event.preventDefault();
}

// --- copying, and searching ---

async function copy(event) {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  const words = button.textContent;
  document.getElementById("said").textContent = button.textContent = button.dataset.done;
  setTimeout(() => (button.textContent = words), 2000);
}

// A file that is dropped on a form is chosen in it; what is dropped beside it opens nothing.
function drop(event) {
  const form = event.target.closest?.("form[data-drop]");
  if (!event.dataTransfer?.types.includes("Files") || !document.querySelector("form[data-drop]")) return;
  event.preventDefault();
  form?.classList.toggle("over", event.type === "dragover");
  if (event.type === "drop" && form) form.elements[form.dataset.drop].files = event.dataTransfer.files;
}

// The box in a table's head selects all its rows.
function selectAll(event) {
  if (!event.target.matches?.("[data-all]")) return;
  const boxes = event.target.closest("table").querySelectorAll("tbody input[type=checkbox]");
  for (const box of boxes) box.checked = event.target.checked;
}

// The buttons of a form that is under way cannot be pressed again.
function enable(form, enabled) {
  for (const element of form.elements) if (element.matches("button")) element.disabled = !enabled;
}

let typed = 0;
let asked = null;

function search(event) {
  const field = event.target;
  if (!field.dataset?.search) return;
  clearTimeout(typed);
  typed = setTimeout(async () => {
    asked?.abort();
    asked = new AbortController();
    try {
      const body = new URLSearchParams(new FormData(field.form));
      const answer = await fetch(field.form.action, { method: "POST", body, signal: asked.signal });
      if (!answer.ok) return;
      const next = parser.parseFromString(await answer.text(), "text/html");
      const found = next.getElementById(field.dataset.search);
      document.getElementById("said").textContent = found.dataset.count;
      document.getElementById(found.id).replaceChildren(...found.childNodes);
    } catch {
      // The next letter was typed, or nobody answers.
    }
  }, 150);
}

// --- all of it ---

if (document.querySelector('meta[name="ldapgw"][content="done"]')) {
  channel.postMessage("done");
  close();
}
const address = new URL(location.href);
if (address.searchParams.has("language")) {
  address.searchParams.delete("language");
  history.replaceState(null, "", address);
}
for (const type of ["pointerdown", "keydown"]) document.addEventListener(type, press, true);
for (const type of ["pointerup", "pointercancel", "keyup"]) document.addEventListener(type, release, true);
document.addEventListener("click", openWindow);
document.addEventListener("click", copy);
document.addEventListener("input", search);
document.addEventListener("change", selectAll);
for (const name of ["dragover", "dragleave", "drop"]) document.addEventListener(name, drop);
document.addEventListener("visibilitychange", listen);
// A form that is under way leads to another page; a look would take its message, or not find what it has removed.
document.addEventListener("submit", (event) => {
  leaving = true;
  // A disabled button's value would not be sent.
  if (event.target.method === "post") setTimeout(() => enable(event.target, false));
});
addEventListener("pageshow", (event) => {
  leaving = false;
  // A browser that shows the page again may have kept its buttons as they were.
  for (const form of document.forms) enable(form, true);
  if (event.persisted) look();
});
setInterval(() => document.querySelectorAll("time[datetime]").forEach(sayTime), 30000);
dress(document);
listen();
