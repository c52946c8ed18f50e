// SPDX-License-Identifier: MIT
// The script of all pages: it shows times in the reader's zone, copies texts, accepts dropped files, opens a pop-up for
// Google, shows results while a person types, and updates parts of an open page.  Every page works without this file.

const language = document.documentElement.lang;
const zoned = new Intl.DateTimeFormat(navigator.languages.find((one) => one.startsWith(language)) ?? language, {
  dateStyle: "medium",
  timeStyle: "short",
});
const locale = zoned.resolvedOptions().locale;
const day = new Intl.DateTimeFormat(locale, { dateStyle: "long" });
const clock = new Intl.DateTimeFormat(locale, { timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
const sayMinutes = (minutes, when) => (Math.abs(minutes) < 60 ? relative.format(minutes, "minute") : zoned.format(when));
// What the attribute data-as asks for: times within a sentence, times in a list of events, and the time of what comes.
// Without this attribute, a time of the last hour is shown relative to now.
const written = {
  moment: (when) => zoned.format(when),
  day: (when) => day.format(when),
  clock: (when) => (when.toDateString() === new Date().toDateString() ? clock : zoned).format(when),
  next: (when, minutes) => sayMinutes(Math.max(minutes, 1), when),
  ago: (when, minutes) => (minutes ? sayMinutes(minutes, when) : document.body.dataset.now),
};
const parser = new DOMParser();

// --- times ---

function sayTime(element) {
  const when = new Date(element.dateTime);
  const minutes = Math.round((when - Date.now()) / 60000);
  element.title = zoned.format(when);
  element.textContent = written[element.dataset.as ?? "ago"](when, minutes);
}

// --- updates of an open page ---

// The statuses after which the page's content is removed: the visitor is signed out, or may not see the page any more.
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
// Whether the last fetch was answered as if the session had ended.
let doubted = false;

function dress(root) {
  for (const part of root.querySelectorAll("[data-live]")) if (!shown.has(part)) remember(part);
  for (const element of root.querySelectorAll("time[datetime]")) sayTime(element);
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
  for (const part of root.querySelectorAll("[data-all], [data-print]")) part.hidden = false;
}

function swap(part, fresh) {
  const html = fresh?.innerHTML ?? "";
  if (html === shown.get(part)) return;
  const reached = "a, button, input, select";
  const at = [...part.querySelectorAll(reached)].indexOf(document.activeElement);
  // Rows of a table come and go, so a selected or focused element is found again by its name or address.
  const known = (element) => element?.name || element?.getAttribute?.("href");
  const focused = at >= 0 ? known(document.activeElement) : "";
  const chosen = new Set([...part.querySelectorAll("input[type=checkbox]:checked")].map(known));
  const before = part.querySelector("[data-say]")?.textContent;
  shown.set(part, html);
  part.replaceChildren(...(fresh?.childNodes ?? []));
  dress(part);
  // A message about an earlier success is out of date once the state shows a problem.
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
  // The address shows another page than before: somebody has signed in or out, or a phone works for the first time.
  // The folds that a person has opened stay open, wherever the new page has them.
  const folds = document.querySelectorAll("details[id][open]");
  // The address of a form may still show no page.
  if (document.body.dataset.look) next.body.dataset.look = document.body.dataset.look;
  document.body.replaceWith(next.body);
  for (const { id } of folds) {
    for (let at = document.getElementById(id); at; at = at.parentElement.closest("details")) at.open = true;
  }
  dress(document.body);
  arriveAt("main");
  listen();
}

// Moves the focus for screen readers, and scrolls to the top, so that the header stays in view.
function arriveAt(id) {
  document.getElementById(id).focus({ preventScroll: true });
  scrollTo(0, 0);
}

// The session has ended: the page's frame stays without its menu, and its content is replaced.
function signedOut(next) {
  events?.close();
  clearInterval(polling);
  etag = "";
  delete document.body.dataset.events;
  // This name fits no page, so after another sign-in the whole page at the address is shown.
  document.body.dataset.page = "signed out";
  document.title = next.title;
  for (const menu of document.querySelectorAll(".top nav, .user")) menu.remove();
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
    // Only a fetch on arrival takes the flash message, which would otherwise be lost for the next page.
    const headers = { "Ldapgw-Live": arriving ? "arrival" : "look", ...(etag && { "If-None-Match": etag }) };
    // The address of a form may show no page, so the page can name another address to fetch.
    const answer = await fetch(document.body.dataset.look ?? location.href, { headers, cache: "no-store" });
    answered = answer.status < 500 && answer.status !== 429;
    if (leaving) {
      // A form was sent, and its answer will replace this page.
    } else if (answer.ok) {
      doubted = false;
      const next = parser.parseFromString(await answer.text(), "text/html");
      // A button that moves or is replaced before the release is not pressed, so wait for the release.
      if (pressed) await released();
      etag = answer.headers.get("ETag") ?? "";
      show(next);
    } else if (answer.status === 404 && document.body.dataset.gone) {
      location.replace(document.body.dataset.gone);
    } else if (answer.status === 403 && document.body.dataset.events && !doubted) {
      // A consent may have replaced the session during this fetch, so fetch once more before the page is emptied.
      doubted = true;
      setTimeout(look, 1000);
    } else if (answer.status === 403 && document.body.dataset.events) {
      signedOut(parser.parseFromString(await answer.text(), "text/html"));
    } else if (gone.has(answer.status) && document.body.dataset.events) {
      location.reload();
    }
  } catch {
    // The gateway cannot be reached now; the next fetch will show the changes.
  }
  looking = false;
  if (arriving && !answered) {
    // A page without a signed-in visitor gets no events, so only another fetch can show the change.
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
  // The handlers of the pressed element run first.
  setTimeout(() => letGo?.());
}

// Some browser menus swallow the release event, so the wait ends after two seconds.
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
    // The browser reconnects by itself; if a proxy lets no events through, the browser gives up, and the page polls.
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
  // If the browser opens no pop-up, the link leads to the address in this window.
  if (open(address, "ldapgw", `popup,width=560,height=720,left=${left},top=${screenY + 60}`)) event.preventDefault();
}

// --- copying and printing, dropped files, tables, and searches ---

async function copyOrPrint(event) {
  const button = event.target.closest?.("[data-copy], [data-print]");
  if (!button) return;
  if (!button.dataset.copy) return print();
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  const words = button.textContent;
  document.getElementById("said").textContent = button.textContent = button.dataset.done;
  setTimeout(() => (button.textContent = words), 2000);
}

// A file that is dropped on a form is chosen in the form; a file that is dropped elsewhere is ignored, not opened.
function drop(event) {
  const form = event.target.closest?.("form[data-drop]");
  if (!event.dataTransfer?.types.includes("Files") || !document.querySelector("form[data-drop]")) return;
  event.preventDefault();
  form?.classList.toggle("over", event.type === "dragover");
  if (event.type === "drop" && form) form.elements[form.dataset.drop].files = event.dataTransfer.files;
}

// The checkbox in a table's head selects all rows of the table.
function selectAll(event) {
  if (!event.target.matches?.("[data-all]")) return;
  const boxes = event.target.closest("table").querySelectorAll("tbody input[type=checkbox]");
  for (const box of boxes) box.checked = event.target.checked;
}

// Enables or disables a form's buttons, so that a form that is being sent cannot be sent again.
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
      if (!answer.ok) return look();
      const next = parser.parseFromString(await answer.text(), "text/html");
      const found = next.getElementById(field.dataset.search);
      document.getElementById("said").textContent = found.dataset.count;
      document.getElementById(found.id).replaceChildren(...found.childNodes);
    } catch {
      // The search was aborted by the next letter, or the gateway cannot be reached.
    }
  }, 150);
}

// --- start ---

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
document.addEventListener("click", copyOrPrint);
document.addEventListener("input", search);
document.addEventListener("change", selectAll);
for (const name of ["dragover", "dragleave", "drop"]) document.addEventListener(name, drop);
document.addEventListener("visibilitychange", listen);
// A form leads to another page.  A fetch meanwhile would take the form's flash message, or not find a removed object.
document.addEventListener("submit", (event) => {
  leaving = true;
  // The buttons are disabled only after the form was sent, because the value of a disabled button is not sent.
  if (event.target.method === "post") setTimeout(() => enable(event.target, false));
});
addEventListener("pageshow", (event) => {
  leaving = false;
  // A browser that shows the page again may have kept the buttons disabled.
  for (const form of document.forms) enable(form, true);
  if (event.persisted) look();
});
setInterval(() => document.querySelectorAll("time[datetime]").forEach(sayTime), 30000);
// On a narrow screen, the navigation scrolls sideways, so the link of the present page is scrolled into view.
const tab = document.querySelector(".top nav [aria-current]");
if (tab) tab.closest("nav").scrollLeft = tab.offsetLeft - (innerWidth - tab.offsetWidth) / 2;
dress(document);
listen();
