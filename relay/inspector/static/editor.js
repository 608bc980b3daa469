// The editor: line numbers, marked problem lines, Tab, insert buttons, and mails in iframes.
"use strict";

const text = document.getElementById("text");
const draft = document.getElementById("draft");
let changed = text?.dataset.changed !== undefined;
let leaving = false;

function numberLines() {
  const lines = draft.querySelector(".lines");
  const count = text.value.split("\n").length;
  while (lines.childElementCount > count) lines.lastElementChild.remove();
  while (lines.childElementCount < count) {
    const line = document.createElement("span");
    line.textContent = lines.childElementCount + 1;
    lines.append(line);
  }
  lines.scrollTop = text.scrollTop;
}

function markProblems() {
  const bad = new Set(Array.from(draft.querySelectorAll("[data-line]"), (button) => Number(button.dataset.line)));
  Array.from(draft.querySelector(".lines").children, (line, index) => line.classList.toggle("bad", bad.has(index + 1)));
  text.setAttribute("aria-invalid", bad.size > 0);
}

function insert(inserted) {
  text.focus();
  // Unlike assigning to value, this supports undo and fires an input event.
  document.execCommand("insertText", false, inserted);
}

function goTo(line) {
  const lines = text.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, previous) => sum + previous.length + 1, 0);
  text.focus();
  text.setSelectionRange(start, start + (lines[line - 1] ?? "").length);
}

function onKey(event) {
  if (event.key === "Escape") {
    leaving = true;
  } else if (event.key === "Tab" && !leaving && !event.shiftKey && !event.ctrlKey && !event.altKey) {
    event.preventDefault();
    insert("  ");
  } else if (event.key !== "Tab" && event.key !== "Shift") {
    leaving = false;
  }
}

// The form posts into a hidden iframe, which replaces the old one once loaded: no flicker.
let frames = 0;
function showMail() {
  const container = draft.querySelector(".frames");
  if (!draft.querySelector("#message [data-frame]")) {
    container.replaceChildren();
    return;
  }
  const frame = document.createElement("iframe");
  frame.name = `mail-${++frames}`;
  frame.title = "The message";
  frame.className = "preview-frame loading";
  frame.setAttribute("sandbox", container.dataset.sandbox);
  container.append(frame);
  const [action, target] = [draft.action, draft.target];
  draft.action = container.dataset.frame;
  draft.target = frame.name;
  draft.submit();
  draft.action = action;
  draft.target = target;
  frame.addEventListener("load", () => {
    while (frame.previousElementSibling) frame.previousElementSibling.remove();
    frame.classList.remove("loading");
  });
}

for (const form of document.querySelectorAll("form[data-submits]")) {
  form.addEventListener("change", () => form.requestSubmit());
}

if (text) {
  numberLines();
  markProblems();
  showMail();
  text.addEventListener("input", () => { changed = true; numberLines(); });
  text.addEventListener("scroll", () => { draft.querySelector(".lines").scrollTop = text.scrollTop; });
  text.addEventListener("keydown", onKey);
  text.addEventListener("blur", () => { leaving = false; });
  // htmx prefers the formaction of the button that was clicked last, such as Save.
  draft.addEventListener("htmx:configRequest", (event) => { event.detail.path = draft.getAttribute("hx-post"); });
  draft.addEventListener("htmx:afterSettle", () => { markProblems(); showMail(); });
  document.addEventListener("click", (event) => {
    const name = event.target.closest("[data-insert]");
    const line = event.target.closest("[data-line]");
    if (name) insert(`{{ ${name.dataset.insert} }}`);
    if (line) goTo(Number(line.dataset.line));
    if (event.target.closest("[data-leaves]")) {
      const before = changed;
      changed = false;
      setTimeout(() => { changed = before; }, 1000); // a download does not leave the page
    }
  });
  window.addEventListener("beforeunload", (event) => { if (changed) event.preventDefault(); });
}
