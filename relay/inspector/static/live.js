// Live updates by server-sent events.
"use strict";

let source = null;
let newest = 0;  // id of the newest event when the page was rendered; only newer ones are added
let seen = 0;  // id of the newest event received

function list() { return document.querySelector("#list ul.events"); }

function stop() {
  if (source) source.close();
  source = null;
}

function start() {
  stop();
  const element = document.querySelector("[data-live]");
  if (!element || !element.dataset.live || !window.EventSource || document.hidden) return;
  const address = new URL(element.dataset.live, location.href);
  newest = Number(address.searchParams.get("after"));
  if (seen > newest) address.searchParams.set("seen", seen);
  if (list()) {
    const open = [...list().querySelectorAll("[data-open]")].slice(0, 100);
    address.searchParams.set("open", open.map((row) => row.dataset.id).join(","));
  }
  source = new EventSource(address);
  source.addEventListener("row", (event) => update(JSON.parse(event.data)));
  source.addEventListener("more", () => { document.querySelector("#list .more").hidden = false; });
}

function update(event) {
  seen = Math.max(seen, event.id);
  const rows = list();
  if (!rows) {
    refresh();
    return;
  }
  const template = document.createElement("template");
  template.innerHTML = event.html;
  const row = template.content.firstElementChild;
  window.relay.localTimes(template.content);
  const old = document.getElementById(row.id);
  if (old) {
    const hadFocus = old.contains(document.activeElement);
    const before = old.getBoundingClientRect();
    old.replaceWith(row);
    if (before.bottom < 0) {  // as below
      const grown = row.getBoundingClientRect().height - before.height;
      window.scrollBy({ top: grown, behavior: "instant" });
    }
    if (hadFocus) row.querySelector("a").focus({ preventScroll: true });
    return;
  }
  if (event.id <= newest || !event.matches) return;
  row.classList.add("fresh");
  const first = rows.firstElementChild;
  const isAbove = first && first.getBoundingClientRect().bottom < 0;
  const before = isAbove && first.getBoundingClientRect().bottom;  // it gets a border
  rows.insertBefore(row, [...rows.children].find((other) => Number(other.dataset.id) < event.id) ?? null);
  // Keep the scroll position for a reader further down.
  if (isAbove) {
    window.scrollBy({ top: first.getBoundingClientRect().bottom - before, behavior: "instant" });
  }
  document.querySelector("#list .empty").hidden = true;
  while (rows.childElementCount > 200) rows.lastElementChild.remove();
}

// The event page reloads its deliveries, but not while one of them has the focus.
const part = () => document.querySelector("#deliveries");
const isInUse = () => part().contains(document.activeElement) || part().matches(":active");
let isPending = false;

function refresh() {
  isPending = isInUse();
  if (!isPending) window.htmx.trigger(part(), "changed");
}

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.id === "deliveries" && isInUse()) {
    event.detail.shouldSwap = false;
    isPending = true;
  }
});
document.addEventListener("focusout", () => {
  if (isPending) setTimeout(refresh, 300);
});

// Days are meant in the time zone in which the page shows times.
document.addEventListener("change", (event) => {
  if (event.target.type === "date") document.querySelector("#zone").value = window.relay.zone;
}, true);

document.addEventListener("DOMContentLoaded", start);
document.addEventListener("htmx:historyRestore", start);
const isList = (event) => event.detail.target && event.detail.target.id === "list";
document.addEventListener("htmx:beforeRequest", (event) => { if (isList(event)) stop(); });
document.addEventListener("htmx:afterRequest", (event) => { if (isList(event) && event.detail.failed) start(); });
document.addEventListener("htmx:afterSettle", (event) => { if (isList(event)) start(); });
window.addEventListener("pagehide", stop);
// HTTP/1.1 browsers open at most six connections per server for all tabs.
document.addEventListener("visibilitychange", () => { if (document.hidden) stop(); else start(); });
window.addEventListener("pageshow", (event) => { if (event.persisted) start(); });
