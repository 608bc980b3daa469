// What changes while somebody looks. The server tells it: nothing is asked for again and again.
"use strict";

let source = null;
let newest = 0;  // the newest event when the list was made: what comes into it is newer
let seen = 0;  // the newest event that was told of

function list() { return document.querySelector("#list ul.events"); }

function stop() {
  if (source) source.close();
  source = null;
}

function start() {
  stop();
  const place = document.querySelector("[data-live]");
  if (!place || !place.dataset.live || !window.EventSource || document.hidden) return;
  const address = new URL(place.dataset.live, location.href);
  newest = Number(address.searchParams.get("after"));
  if (seen > newest) address.searchParams.set("seen", seen);
  if (list()) {
    const open = [...list().querySelectorAll("[data-open]")].slice(0, 100);
    address.searchParams.set("open", open.map((row) => row.dataset.id).join(","));
  }
  source = new EventSource(address);
  source.addEventListener("row", (event) => take(JSON.parse(event.data)));
  source.addEventListener("more", () => { document.querySelector("#list .more").hidden = false; });
}

function take(told) {
  seen = Math.max(seen, told.id);
  const rows = list();
  if (!rows) {
    refresh();
    return;
  }
  const template = document.createElement("template");
  template.innerHTML = told.html;
  const row = template.content.firstElementChild;
  window.relay.localTimes(template.content);
  const old = document.getElementById(row.id);
  if (old) {
    const had = old.contains(document.activeElement);
    old.replaceWith(row);
    if (had) row.querySelector("a").focus({ preventScroll: true });
    return;
  }
  if (told.id <= newest || !told.fits) return;
  row.classList.add("fresh");
  const first = rows.firstElementChild;
  const isRead = first && first.getBoundingClientRect().bottom < 0;
  const before = isRead && first.getBoundingClientRect().top;
  rows.insertBefore(row, [...rows.children].find((other) => Number(other.dataset.id) < told.id) ?? null);
  // Who reads further down goes on reading the same line.
  if (isRead) {
    window.scrollBy({ top: first.getBoundingClientRect().top - before, behavior: "instant" });
  }
  document.querySelector("#list .empty").hidden = true;
  while (rows.childElementCount > 200) rows.lastElementChild.remove();
}

// One event: the part about its deliveries is fetched anew, but never under somebody's hands.
const part = () => document.querySelector("#deliveries");
const isInUse = () => part().contains(document.activeElement) || part().matches(":active");
let isLate = false;

function refresh() {
  isLate = isInUse();
  if (!isLate) window.htmx.trigger(part(), "changed");
}

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.id === "deliveries" && isInUse()) {
    event.detail.shouldSwap = false;
    isLate = true;
  }
});
document.addEventListener("focusout", () => {
  if (isLate) setTimeout(refresh, 300);
});

document.addEventListener("DOMContentLoaded", start);
const isList = (event) => event.detail.target && event.detail.target.id === "list";
document.addEventListener("htmx:beforeRequest", (event) => { if (isList(event)) stop(); });
document.addEventListener("htmx:afterRequest", (event) => { if (isList(event) && event.detail.failed) start(); });
document.addEventListener("htmx:afterSettle", (event) => { if (isList(event)) start(); });
window.addEventListener("pagehide", stop);
// A browser has six connections to a server for all of its tabs.
document.addEventListener("visibilitychange", () => { if (document.hidden) stop(); else start(); });
window.addEventListener("pageshow", (event) => { if (event.persisted) start(); });
