// Renders Slack's blocks as HTML with a library that is not Relay's. The argument is a file with a
// list of {name, blocks, users}; prints a list of HTML.
import { readFileSync } from "node:fs";
import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { Message } from "slack-blocks-to-jsx";

const complaints = [];
console.error = (...words) => complaints.push(words.join(" "));
console.warn = console.error;
const messages = JSON.parse(readFileSync(process.argv[2], "utf-8"));
const html = messages.map(({ name, blocks, users }) =>
  renderToStaticMarkup(
    createElement(Message, { name, blocks, logo: "data:,", theme: "light", data: { users } }),
  ),
);
process.stdout.write(JSON.stringify({ html, complaints }));
