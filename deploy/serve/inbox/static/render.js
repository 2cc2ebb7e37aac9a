/** Text with maths and code as nodes of the document. It comes from models, so that all of it is hostile: whatever is
 *  not maths or code is a text node, and KaTeX builds its nodes itself, with nothing that links, loads or styles. */

import "./katex/katex.min.js"; // defines `katex` on the window
import { h } from "./dom.js";

const OPENING = /\\\$|```|`|\$\$|\$|\\\[|\\\(|\\boxed\{/g;
const KINDS = {
  "```": { closing: "```", make: block, stands: true },
  "`": { closing: "`", make: (code) => h("code", {}, code), fits: (code) => !code.includes("\n") },
  "$$": { closing: "$$", make: (tex, room) => maths(tex, true, room), stands: true },
  "\\[": { closing: "\\]", make: (tex, room) => maths(tex, true, room), stands: true },
  "\\(": { closing: "\\)", make: (tex, room) => maths(tex, false, room) },
  "$": { closing: "$", make: (tex, room) => maths(tex, false, room), fits: notMoney },
  "\\boxed{": { closing: "}", end: braced, make: boxed, fits: (tex) => !prose(tex) },
};

/** The nodes of a text. It takes time in proportion to its length, also where delimiters are opened and never closed. */
export function rendered(text) {
  const nodes = [];
  const ends = new Map();
  const room = { left: ROOM };
  let done = 0;
  OPENING.lastIndex = 0;
  for (let found; room.left > 0 && (found = OPENING.exec(text)); ) {
    const kind = KINDS[found[0]]; // none for an escaped dollar
    const start = OPENING.lastIndex;
    const end = kind ? (kind.end ?? next)(text, kind.closing, start, ends) : -1;
    if (end <= start) continue;
    const inner = text.slice(start, end);
    if (kind.fits && !kind.fits(inner, text[end + 1])) continue;
    const before = text.slice(done, found.index);
    nodes.push(kind.stands ? before.trimEnd() : before, kind.make(inner, room));
    done = end + kind.closing.length;
    while (kind.stands && " \n".includes(text[done] ?? "-")) done++; // a block has its own space around it
    OPENING.lastIndex = done;
  }
  return [...nodes, text.slice(done)];
}

/** An answer alone is often a formula without delimiters, as it stands between the braces of \boxed. */
export function renderedAnswer(text) {
  const bare = text.length <= LONGEST && /\\[a-zA-Z]|\^/.test(text) && !/\$|\\\(|\\\[|`/.test(text) && !prose(text);
  return bare ? [maths(`\\displaystyle ${text}`, false, { left: ROOM }, text)] : rendered(text);
}

/** Lets those formulas scroll, also by key, that are wider than their text. Only on the page do they have a size. */
export function fit(root) {
  const formulas = [...root.querySelectorAll(".text :is(.display, .inline)")];
  const isWide = (node) => node.getBoundingClientRect().width > node.closest(".text").clientWidth;
  for (const node of formulas.filter((node) => node.scrollWidth > node.clientWidth || isWide(node))) {
    node.classList.add("wide");
    node.tabIndex = 0;
  }
}

/** Where a delimiter comes next, -1 for nowhere. `ends` remembers it, so that no stretch is searched twice. */
function next(text, closing, start, ends) {
  const known = ends.get(closing);
  if (known === -1 || known >= start) return known;
  ends.set(closing, text.indexOf(closing, start));
  return ends.get(closing);
}

/** Where the brace closes that was opened before `start`; a last answer stands in one, often without dollars. */
function braced(text, closing, start) {
  for (let at = start, depth = 1; at < Math.min(text.length, start + LONGEST); at++) {
    if (text[at] === "{") depth++;
    if (text[at] === closing && --depth === 0) return at;
  }
  return -1;
}

/** Between the dollars of "it costs $5, then $6" there is no formula (the rule is pandoc's). */
function notMoney(tex, after = "") {
  return !/^\s|[\s\\]$|\n\s*\n/.test(tex) && !/\d/.test(after);
}

/** Whether words stand in it, between which a formula would swallow the spaces. */
function prose(tex) {
  return /[a-zA-Z]{2,}\s/.test(tex.replace(/\\(text|mbox|mathrm)\w*\{[^}]*\}|\\[a-zA-Z]+/g, ""));
}

function boxed(tex, room) {
  return maths(`\\boxed{${tex}}`, false, room, `\\boxed{${tex}}`);
}

function block(code) {
  return h("pre", {}, h("code", {}, code.replace(/^[\w+#.-]*\n/, "").replace(/\n$/, "")));
}

const LONGEST = 2000; // characters of a formula
const ROOM = 40_000; // of all formulas of a text, each with what even the shortest one costs; the rest stays as written
const EACH = 100;
const OWN_MACROS = /\\([gex]?def|let|futurelet|(re)?newcommand|providecommand|global|long)(?![a-zA-Z])/;

/** A formula; or its source where KaTeX does not know it, or where drawing it might take for ever. Without macros of its
 *  own a formula draws no more than a multiple of what is written. */
function maths(tex, displayMode, room, source = displayMode ? `$$${tex}$$` : `$${tex}$`) {
  room.left -= tex.length + EACH;
  if (tex.length > LONGEST || OWN_MACROS.test(tex)) return unread(source);
  const node = h("span", { className: displayMode ? "display" : "inline" });
  try {
    katex.render(tex, node, { displayMode, trust: false, strict: "ignore", maxSize: 10, maxExpand: 300 });
    return node;
  } catch {
    return unread(source); // not LaTeX; or nested so deeply that the stack ends
  }
}

const unread = (source) => h("span", { className: "unread" }, source);
