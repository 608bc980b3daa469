// Parses messages with Rocket.Chat's own parser, under a new server's settings: each line of the
// input is a message as JSON, and each line of the output its tree.
import { createInterface } from "node:readline";
import { parse } from "@rocket.chat/message-parser";

// apps/meteor/server/services/messages/service.ts; HexColorPreview_Enabled, Katex_Enabled and
// Katex_Parenthesis_Syntax are on by default, Katex_Dollar_Syntax is off.
const config = {
  colors: true,
  emoticons: true,
  customDomains: [],
  katex: { dollarSyntax: false, parenthesisSyntax: true },
};
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(parse(JSON.parse(line), config)));
}
