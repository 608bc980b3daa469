// The editor: line numbers, marks where a template fails, Tab, names to press, and mails in frames.
"use strict";

const text = document.getElementById("text");
const draft = document.getElementById("draft");
let changed = text?.dataset.changed !== undefined;
let leaving = false;

function number() {
  const lines = draft.querySelector(".lines");
  const wanted = text.value.split("\n").length;
  while (lines.childElementCount > wanted) lines.lastElementChild.remove();
  while (lines.childElementCount < wanted) {
    const line = document.createElement("span");
    line.textContent = lines.childElementCount + 1;
    lines.append(line);
  }
  lines.scrollTop = text.scrollTop;
}

function mark() {
  const bad = new Set(Array.from(draft.querySelectorAll("[data-line]"), (one) => Number(one.dataset.line)));
  Array.from(draft.querySelector(".lines").children, (line, at) => line.classList.toggle("bad", bad.has(at + 1)));
  text.setAttribute("aria-invalid", bad.size > 0);
}

function insert(words) {
  text.focus();
  // Unlike setting the value this can be undone with Ctrl+Z, and is heard as input.
  document.execCommand("insertText", false, words);
}

function goTo(line) {
  const lines = text.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
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

// A frame is filled by a form that names it, and shown when it is there: so nothing flickers.
let frames = 0;
function showMail() {
  const place = draft.querySelector(".frames");
  if (draft.querySelector("#message [data-kind]")?.dataset.kind !== "email") {
    place.replaceChildren();
    return;
  }
  const frame = document.createElement("iframe");
  frame.name = `mail-${++frames}`;
  frame.title = "The mail";
  frame.className = "look-frame coming";
  frame.setAttribute("sandbox", place.dataset.sandbox);
  place.append(frame);
  const [action, target] = [draft.action, draft.target];
  draft.action = place.dataset.frame;
  draft.target = frame.name;
  draft.submit();
  draft.action = action;
  draft.target = target;
  frame.addEventListener("load", () => {
    while (frame.previousElementSibling) frame.previousElementSibling.remove();
    frame.classList.remove("coming");
  });
}

for (const form of document.querySelectorAll("form[data-submits]")) {
  form.addEventListener("change", () => form.requestSubmit());
}

if (text) {
  number();
  mark();
  showMail();
  text.addEventListener("input", () => { changed = true; number(); });
  text.addEventListener("scroll", () => { draft.querySelector(".lines").scrollTop = text.scrollTop; });
  text.addEventListener("keydown", onKey);
  text.addEventListener("blur", () => { leaving = false; });
  draft.addEventListener("htmx:afterSettle", () => { mark(); showMail(); });
  document.addEventListener("click", (event) => {
    const name = event.target.closest("[data-insert]");
    const line = event.target.closest("[data-line]");
    if (name) insert(`{{ ${name.dataset.insert} }}`);
    if (line) goTo(Number(line.dataset.line));
    if (event.target.closest("[data-leaves]")) {
      const was = changed;
      changed = false;
      setTimeout(() => { changed = was; }, 1000); // a download does not leave the page
    }
  });
  window.addEventListener("beforeunload", (event) => { if (changed) event.preventDefault(); });
}
