/** The question on the screen: its answers, what is chosen or typed, the note, and how long somebody thought. */

import { $, h } from "./dom.js";
import { fit, rendered, renderedAnswer } from "./render.js";
import { forget, read, write } from "./store.js";

const LISTEN_MS = 250; // after the last key, before the server is asked how it reads a typed answer
const DRAFTS = 50;

export class Card {
  #texts = []; // what is shown raw or rendered, and drawn again where that changes
  #radios = [];
  #listening = null;
  #asked = 0;
  #watch = new Stopwatch();

  constructor(api) {
    this.api = api;
    this.item = null;
    this.drafts = `drafts.${api.name}`;
    this.raw = read("raw", false);
    $("typed").addEventListener("input", () => this.#typed());
    $("note").addEventListener("input", () => this.#keepDraft());
    $("own").addEventListener("change", () => this.#keepDraft());
    addEventListener("resize", () => fit($("card")));
    $("own").parentNode.addEventListener("click", ({ detail }) => detail && this.own()); // of a pointer, not of an arrow
    $("answers").addEventListener("change", () => this.#keepDraft());
  }

  /** Paints an item with what was said or begun before, or nothing for null. */
  show(item) {
    this.item = item;
    clearTimeout(this.#listening); // what was typed for another item is not asked about any more
    $("card").hidden = item === null;
    if (item === null) return;
    this.#texts = [];
    this.#radios = [];
    this.#draw($("prompt"), item.prompt, rendered);
    $("answers").replaceChildren(...item.answers.map((answer, index) => this.#answer(answer, index)));
    this.skipping(false);
    this.#restore(read(this.#draft, asBefore(item.before)));
    this.refresh();
    this.#watch.start();
    scrollTo(0, 0);
    $("question").focus({ preventScroll: true });
    fit($("card"));
  }

  /** What the server said of the same item since. */
  refresh() {
    $("amends").hidden = !this.item?.amends;
  }

  choose(index) {
    const radio = this.#radios[index];
    if (!radio) return;
    radio.checked = true;
    radio.focus();
    this.#keepDraft();
  }

  /** Goes to the box for an answer of one's own. */
  own() {
    $("own").checked = true;
    $("typed").focus();
    this.#keepDraft();
  }

  /** Leaves a text box. */
  leave() {
    (this.#radios.find((radio) => radio.checked) ?? $("question")).focus();
  }

  /** False where no answer is chosen. */
  unfold() {
    const details = this.#radios.find((radio) => radio.checked)?.closest(".answer").querySelector("details");
    if (details) details.open = !details.open;
    return details !== undefined;
  }

  note() {
    $("noting").open = true;
    $("note").focus();
  }

  skipping(on) {
    $("reasons").hidden = !on;
    $("actions").hidden = on;
    $("skip").setAttribute("aria-expanded", String(on));
    if (on) $("reasons").querySelector("button").focus();
  }

  toggleRaw() {
    this.raw = !this.raw;
    write("raw", this.raw);
    for (const redraw of this.#texts) redraw();
    fit($("card"));
  }

  /** What is said about the item; null as long as nothing is. */
  said(skip = null) {
    const chosen = this.#chosen();
    const typed = $("typed").value.trim();
    const own = chosen === "own";
    if (skip === null && (chosen === null || (own && typed === ""))) return null;
    return {
      choice: skip === null && !own ? chosen : null,
      typed: skip === null && own ? typed : null,
      skip,
      note: $("note").value.trim(),
      think_ms: this.#watch.read(),
    };
  }

  /** The item is answered: what was begun is not needed any more. */
  done() {
    forget(this.#draft);
  }

  get #draft() {
    return `draft.${this.api.name}.${this.item.item}`;
  }

  #draw(node, text, render) {
    const redraw = () => {
      node.replaceChildren(...(this.raw ? [text] : render(text)));
      node.classList.toggle("raw", this.raw);
    };
    this.#texts.push(redraw);
    redraw();
    return node;
  }

  #answer({ choice, text, solution }, index) {
    const radio = h("input", { type: "radio", name: "answer", value: choice });
    this.#radios.push(radio);
    const shown = this.#draw(h("span", { className: "text", dir: "auto" }), text, renderedAnswer);
    const label = h("label", {}, radio, " ", h("kbd", {}, String(index + 1)), " ", shown);
    if (this.item.before?.choice === choice) label.append(" ", h("em", {}, "your answer before"));
    return h("div", { className: "answer" }, label, ...(solution ? [this.#solution(solution)] : []));
  }

  /** It is drawn when it is first unfolded: solutions are long, and most of them stay closed. */
  #solution(text) {
    const body = h("div", { className: "text solution", dir: "auto" });
    const details = h("details", {}, h("summary", {}, "A solution ", h("kbd", {}, "O")), body);
    details.addEventListener("toggle", () => fit(this.#draw(body, text, rendered)), { once: true });
    return details;
  }

  #chosen() {
    if ($("own").checked) return "own";
    const radio = this.#radios.find(({ checked }) => checked);
    return radio ? Number(radio.value) : null;
  }

  #restore({ chosen = null, typed = "", note = "" }) {
    for (const radio of this.#radios) radio.checked = Number(radio.value) === chosen;
    $("own").checked = chosen === "own";
    $("typed").value = typed;
    $("note").value = note;
    $("noting").open = note !== "";
    this.#understand();
  }

  #keepDraft() {
    const begun = { chosen: this.#chosen(), typed: $("typed").value, note: $("note").value };
    const others = read(this.drafts, []).filter((key) => key !== this.#draft);
    for (const key of others.splice(0, Math.max(0, others.length - DRAFTS))) forget(key);
    write(this.drafts, [...others, this.#draft]);
    write(this.#draft, begun);
  }

  #typed() {
    $("own").checked = true;
    this.#keepDraft();
    clearTimeout(this.#listening);
    this.#listening = setTimeout(() => this.#understand(), LISTEN_MS);
  }

  /** Shows how the server reads what is typed, unless more was typed in the meantime. */
  async #understand() {
    const asked = ++this.#asked;
    const typed = $("typed").value.trim();
    const { lease, answers } = this.item;
    if (typed === "") return $("understood").replaceChildren();
    const nodes = await this.api.call("POST", "api/understand", { lease, typed }).then(
      (reading) => understood(reading, answers),
      () => ["It cannot be read now. It is kept as you typed it."],
    );
    if (asked === this.#asked) $("understood").replaceChildren(...nodes);
  }
}

const asBefore = (before) => (before?.typed ? { chosen: "own", typed: before.typed } : { chosen: before?.choice });

function understood({ answer, same_as, note }, answers) {
  const same = answers.findIndex(({ choice }) => choice === same_as);
  if (same >= 0) return [h("strong", {}, `Same as answer ${same + 1}`), ": they are merged."];
  if (answer === null) return [h("strong", {}, "Not understood."), ` ${note}`];
  return [h("strong", {}, "A new answer"), ", read as ", h("span", { className: "text" }, ...renderedAnswer(answer)), "."];
}

/** The milliseconds for which the page was seen. */
class Stopwatch {
  #gone = 0;
  #since = null;

  constructor() {
    document.addEventListener("visibilitychange", () => {
      this.#gone = this.read();
      this.#since = document.hidden ? null : performance.now();
    });
  }

  start() {
    this.#gone = 0;
    this.#since = document.hidden ? null : performance.now();
  }

  read() {
    return Math.round(this.#gone + (this.#since === null ? 0 : performance.now() - this.#since));
  }
}
