/** The annotator's page: one question after the other. What it promises: a confirmed answer is on this browser's disk at
 *  once, the next question is painted at once, and the answer stays until the server has it. */

import { Api, Refused, Unreachable, uuid4 } from "./api.js";
import { Card } from "./card.js";
import { $, clock, count, fill, h } from "./dom.js";
import { Hand } from "./hand.js";
import { Outbox } from "./outbox.js";
import { rendered } from "./render.js";
import { askWho, credentials } from "./signin.js";
import { read, write } from "./store.js";

const WHO = "annotator";
const LOOK_MS = 5000;
const HEARTBEAT_MS = 20_000;
const UNDOABLE = 5;
const IDLE = {
  paused: ["Paused", "Your questions went to the others. What you began to type is kept."],
  away: ["No connection", "The server does not answer. What you said is kept here, and goes out when it is back."],
  none: ["Nothing to do", "The run has no question for you now. This page looks again every five seconds."],
  asking: ["One moment", "The next question is on its way."],
};

class Inbox {
  #shown = null;
  #away = false;
  #stopped = false;
  #paused = false;

  constructor({ token, name }) {
    this.api = new Api(token, name, (error) => this.#heard(error));
    this.past = `past.${name}`; // what can be taken back
    this.card = new Card(this.api);
    this.hand = new Hand(this.api, {
      changed: () => this.paint(),
      stats: (stats) => showStats(stats),
      lost: () => this.#lost(),
    });
    this.outbox = new Outbox(this.api, {
      changed: () => this.#showSaved(),
      sent: (op, reply) => this.#sent(op, reply),
      refused: (op, error) => this.#refused(op, error),
    });
  }

  start() {
    this.paint();
    this.#showSaved();
    this.#quietly(this.#welcome());
    this.#beat();
    setInterval(() => this.#look(), LOOK_MS);
    setInterval(() => this.#beat(), HEARTBEAT_MS);
    addEventListener("online", () => this.outbox.pump());
    document.addEventListener("visibilitychange", () => this.#beat());
  }

  /** Another tab took over: two of them would hand out the same leases and overwrite each other's outbox. */
  handOver() {
    this.#stop();
    $("elsewhere").hidden = false;
  }

  #stop() {
    this.#stopped = true;
    this.outbox.stop();
    this.card.show(null);
    $("empty").hidden = true;
    $("guidelines").hidden = true;
  }

  #askWho(why) {
    this.#stop();
    askWho(WHO, why);
  }

  /** Draws what changed. An item that is on the screen already stays as it is, with the focus and what is typed. */
  paint() {
    if (this.#stopped) return;
    const item = this.hand.first;
    $("empty").hidden = item !== null;
    this.#showIdle();
    if (item === this.#shown) return this.card.refresh();
    this.#shown = item;
    this.card.show(item);
  }

  confirm() {
    const said = this.card.item && this.card.said();
    if (said) return this.#say(said);
    if (this.card.item) say($("own").checked ? "Type the answer first." : "Choose an answer, type one, or skip.");
  }

  skip(reason) {
    this.#say(this.card.said(reason));
  }

  undo() {
    const past = read(this.past, []);
    const last = past.pop();
    if (!last) return say("There is nothing to undo.");
    const { uuid, item, said } = last;
    const fate = this.outbox.undo(uuid, this.api.name, item.lease);
    if (fate === "full") return warn("This browser's storage is full, so that nothing can be undone.");
    write(this.past, past);
    say("Your last answer is taken back.");
    this.#paused = false;
    this.hand.putBack({ ...item, before: said, undoing: fate === "told" });
    this.outbox.pump();
  }

  pause() {
    this.#paused = true;
    this.#quietly(this.hand.giveBack());
  }

  resume() {
    this.#paused = false;
    this.#showIdle();
    this.#look();
  }

  #say(said) {
    const uuid = uuid4();
    const item = this.hand.first;
    if (!this.outbox.answer(uuid, this.api.name, item.lease, said)) {
      return warn("This browser's storage is full: the answer is not taken. Free some room, then confirm again.");
    }
    write(this.past, [...read(this.past, []), { uuid, item, said }].slice(-UNDOABLE));
    say("");
    this.card.done();
    this.hand.take();
    this.outbox.pump();
    this.#look();
  }

  async #welcome() {
    const { run, role, guidelines } = await this.api.call("GET", "api/whoami");
    if (role !== "annotator") return this.#askWho(`This is the ${role}'s token; the page is for annotators.`);
    $("run").textContent = run ?? "Label inbox";
    showGuidelines(guidelines);
  }

  /** Takes up work, where there is some and somebody who sees it. What waits in the outbox goes first. */
  #look() {
    if (this.#stopped) return;
    if (document.hidden) return this.#quietly(this.#stats());
    if (this.#paused || this.outbox.failing || this.outbox.undoing) return;
    this.#quietly(this.hand.refill(this.outbox.leases));
  }

  #beat() {
    if (this.#stopped || document.hidden) return;
    this.outbox.pump();
    this.#quietly(this.hand.heartbeat().then(() => this.#look()));
    this.#quietly(this.#stats());
  }

  async #stats() {
    showStats(await this.api.call("GET", "api/stats"));
  }

  #sent(op, reply) {
    if (op.kind === "answer") showStats(reply.stats);
    else this.#undone(op.lease, reply.item);
    this.#look();
  }

  #undone(lease, item) {
    this.outbox.move(lease, item.lease ?? lease);
    this.hand.undone(lease, item);
  }

  /** The server will never take it: it says so, and work goes on. */
  #refused(op, error) {
    const what = op.kind === "answer" ? "An answer was not taken" : "An answer could not be taken back";
    warn(`${what}: ${error.message}`);
    write(this.past, read(this.past, []).filter(({ uuid }) => uuid !== op.uuid));
    if (op.kind === "undo") this.hand.drop(op.lease);
  }

  #lost() {
    warn("Your question went to somebody else, since nothing was heard from here for a while.");
    this.#look();
  }

  #heard(error) {
    const away = error instanceof Unreachable;
    if (error?.denied) this.#askWho(error.why);
    if (away === this.#away) return;
    this.#away = away;
    this.#showSaved();
    if (!away) this.outbox.pump();
  }

  #showSaved() {
    const { ops, failing } = this.outbox;
    const unsent = ops.length ? `${ops.length} unsent` : "";
    const state = this.#away ? "Offline" : failing ? "Trying again" : ops.length ? "Saving" : "All saved";
    $("saved").textContent = this.#away || failing ? [state, unsent].filter(Boolean).join(" · ") : state;
    $("saved").classList.toggle("trouble", this.#away || failing);
    this.#showIdle();
  }

  /** Why there is no question on the screen. */
  #showIdle() {
    const state = this.#paused ? "paused" : this.#away ? "away" : this.hand.none ? "none" : "asking";
    [$("idle").textContent, $("why-idle").textContent] = IDLE[state];
    $("resume").hidden = !this.#paused;
    $("undo-last").hidden = read(this.past, []).length === 0;
    $("pause").hidden = this.#paused;
  }

  /** A server that is away is shown in the bar already, and a person without a right by the form. */
  #quietly(work) {
    work.catch((error) => {
      if (error instanceof Refused && !error.denied) warn(error.message);
      else if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
    });
  }
}

// --- what the page shows around the question

function showStats({ open, budget_total, budget_left, mine, items_per_hour, waiting, waiting_until }) {
  $("figures").hidden = false;
  $("budget").hidden = budget_total === null;
  if (budget_total !== null) {
    $("left").textContent = `${budget_left.toLocaleString("en")} of ${count(budget_total, "label")} left`;
    Object.assign($("meter"), { max: Math.max(budget_total, 1), value: budget_left });
  }
  $("mine").textContent = `${mine.toLocaleString("en")} by you`;
  $("pace").textContent = `${Math.round(items_per_hour)} per hour`;
  const until = waiting_until === null ? "" : ` until ${clock(waiting_until)}`;
  fill("waiting", waiting ? `The run is waiting for you${until}` : "");
  document.title = open > 0 ? `(${open}) Label inbox` : "Label inbox";
}

/** They are unfolded until somebody folded these very ones. */
function showGuidelines(text) {
  $("guidelines").hidden = !text;
  $("rules").replaceChildren(...rendered(text ?? ""));
  $("guidelines").open = read("guidelines", null) !== text;
  $("guidelines").addEventListener("toggle", () => $("guidelines").open || write("guidelines", text));
}

let saying = null;

/** A passing word. */
function say(text) {
  $("say").textContent = text;
  clearTimeout(saying);
  saying = setTimeout(() => ($("say").textContent = ""), 6000);
}

/** Something that has to be read: it stays until it is dismissed. */
function warn(text) {
  const line = h("p", {}, h("span", {}, text), " ");
  line.append(h("button", { type: "button", onclick: () => line.remove() }, "Dismiss"));
  $("problems").append(line);
}

// --- keys and buttons

function keys(inbox) {
  const { card } = inbox;
  const actions = {
    t: () => card.own(),
    s: () => card.skipping(true),
    n: () => card.note(),
    o: () => card.unfold() || say("Choose an answer first."),
  };
  const always = { u: () => inbox.undo(), r: () => toggleRaw(card), "?": () => $("keys").showModal() };
  actions[" "] = actions.o;
  const act = (event, action) => {
    if (!action) return;
    event.preventDefault();
    action();
  };

  document.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat || $("keys").open) return;
    if (!$("signin").hidden || !$("elsewhere").hidden) return;
    const enter = key === "Enter" && !event.shiftKey;
    if (target.matches("textarea")) {
      if (key === "Escape") act(event, () => card.leave());
      else if (enter && target.id === "typed") act(event, () => inbox.confirm());
      return;
    }
    if (target.matches("button, summary, a") && (key === "Enter" || key === " ")) return; // it has a meaning of its own
    if (target.matches("[type=radio]:not(:checked)") && key === " ") return; // so that it is chosen
    if (card.item && !$("reasons").hidden) {
      const reason = $("reasons").querySelectorAll("button[value]")[Number(key) - 1];
      if (key === "Escape") act(event, () => card.skipping(false));
      else if (reason && single()) act(event, () => inbox.skip(reason.value));
      return;
    }
    if (card.item && enter) return act(event, () => inbox.confirm());
    if (!single()) return;
    act(event, always[key.toLowerCase()]);
    if (!card.item) return;
    if (/^[1-9]$/.test(key)) act(event, () => card.choose(Number(key) - 1));
    else act(event, actions[key.toLowerCase()]);
  });
}

const single = () => $("single").checked;

function toggleRaw(card) {
  card.toggleRaw();
  $("raw").setAttribute("aria-pressed", String(card.raw));
}

function buttons(inbox) {
  const { card } = inbox;
  $("confirm").addEventListener("click", () => inbox.confirm());
  $("skip").addEventListener("click", () => card.skipping(true));
  $("unskip").addEventListener("click", () => card.skipping(false));
  for (const button of $("reasons").querySelectorAll("button[value]")) {
    button.addEventListener("click", () => inbox.skip(button.value));
  }
  for (const button of document.querySelectorAll(".undo")) button.addEventListener("click", () => inbox.undo());
  $("raw").setAttribute("aria-pressed", String(card.raw));
  $("raw").addEventListener("click", () => toggleRaw(card));
  $("help").addEventListener("click", () => $("keys").showModal());
  $("single").checked = read("single", true);
  $("single").addEventListener("change", () => write("single", single()));
  $("pause").addEventListener("click", () => inbox.pause());
  $("resume").addEventListener("click", () => inbox.resume());
  $("here").addEventListener("click", () => location.reload());
}

/** The tab that was opened last works. */
function oneTab(inbox) {
  const channel = new BroadcastChannel("effrl.inbox");
  channel.onmessage = () => inbox.handOver();
  channel.postMessage("here");
}

const who = credentials(WHO, true);
if (who === null) {
  askWho(WHO);
} else {
  const inbox = new Inbox(who);
  buttons(inbox);
  keys(inbox);
  inbox.start();
  oneTab(inbox);
}
