// Times in the browser's time zone, copy buttons, and the focus.
"use strict";

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
// The tokens of ``local_time`` in relay/channels/preview.py.
const tokens = {
  date: { day: "numeric", month: "long" },
  date_long: { dateStyle: "full" },
  date_long_full: { dateStyle: "long" },
  date_short: { dateStyle: "medium" },
  date_slash: { dateStyle: "short" },
  day_divider: { weekday: "long", day: "numeric", month: "long" },
  time: { timeStyle: "short" },
  time_secs: { timeStyle: "medium" },
};
let shownOn = new Date().toDateString();  // "today" of all shown times

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([data-local])")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    if (!("until" in time.dataset)) time.textContent = localText(at, time.dataset.form);
    time.title = `${full.format(at)} · ${zone}`;
    time.dataset.local = "";
  }
  countdowns(root);
}

function localText(at, form) {
  if (form) return form.replace(/\{(\w+)\}/g, (token, name) => tokenText(at, name) ?? token);
  const now = new Date();
  if (at.toDateString() === now.toDateString()) return clock.format(at);
  const when = at.getFullYear() === now.getFullYear() ? day : date;
  return `${when.format(at)}, ${clock.format(at)}`;
}

function tokenText(at, name) {
  const token = name.replace(/_pretty$/, "");
  const days = Math.round((new Date(at).setHours(0, 0, 0, 0) - new Date().setHours(0, 0, 0, 0)) / 86400000);
  if (token !== name && Math.abs(days) < 2) return relative.format(days, "day");
  if (token === "date_num") return new Intl.DateTimeFormat("sv").format(at);
  return Object.hasOwn(tokens, token) ? new Intl.DateTimeFormat(undefined, tokens[token]).format(at) : null;
}

// Future times, such as "in 4 min"
function countdowns(root) {
  for (const time of root.querySelectorAll("time[data-until]")) {
    const seconds = Math.round((new Date(time.dateTime) - Date.now()) / 1000);
    if (seconds <= 0) time.textContent = "now";
    else if (seconds < 90) time.textContent = `in ${seconds} s`;
    else if (seconds < 5400) time.textContent = `in ${Math.round(seconds / 60)} min`;
    else time.textContent = `in ${Math.round(seconds / 3600)} h`;
  }
}

// At midnight "today" becomes yesterday.
function newDay() {
  const today = new Date().toDateString();
  if (today === shownOn) return;
  shownOn = today;
  for (const time of document.querySelectorAll("time[data-local]")) delete time.dataset.local;
  localTimes(document);
}

async function copy(button) {
  const text = document.getElementById(button.dataset.copy).textContent;
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    const range = document.createRange();
    range.selectNodeContents(document.getElementById(button.dataset.copy));
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    button.textContent = "Selected: press Ctrl+C";
  }
  setTimeout(() => { button.textContent = label; }, 2500);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-copy]");
  if (button) copy(button);
});
// A button that is disabled during its request, or is in the part that is replaced, loses the focus.
let pressed = null;
document.addEventListener("submit", (event) => { pressed = event.submitter; }, true);
document.addEventListener("htmx:afterSettle", () => {
  if (document.activeElement !== document.body || !pressed?.id) return;
  document.getElementById(pressed.id)?.focus({ preventScroll: true });
});
document.addEventListener("htmx:load", (event) => localTimes(event.detail.elt.parentElement ?? document));
document.addEventListener("htmx:afterSwap", () => localTimes(document));
document.addEventListener("DOMContentLoaded", () => localTimes(document));
setInterval(() => { newDay(); countdowns(document); }, 1000);
window.relay = { localTimes, zone };
