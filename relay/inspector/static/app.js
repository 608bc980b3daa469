// Times in the browser's time zone, and copy buttons.
"use strict";

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([data-local], [data-until])")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const now = new Date();
    const today = at.toDateString() === now.toDateString();
    const when = at.getFullYear() === now.getFullYear() ? day : date;
    time.textContent = today ? clock.format(at) : `${when.format(at)}, ${clock.format(at)}`;
    time.title = full.format(at);
    time.dataset.local = "";
  }
  countdowns(root);
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
document.addEventListener("htmx:load", (event) => localTimes(event.detail.elt.parentElement ?? document));
document.addEventListener("htmx:afterSwap", () => localTimes(document));
document.addEventListener("DOMContentLoaded", () => localTimes(document));
setInterval(() => countdowns(document), 1000);
window.relay = { localTimes };
