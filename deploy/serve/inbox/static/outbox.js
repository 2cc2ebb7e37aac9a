/** What was said and is not yet known to be kept by the server. It lies in this browser's storage until the server's
 *  word, goes out in order, one at a time, and is tried again for as long as it takes. */

import { Refused } from "./api.js";
import { read, write } from "./store.js";

const KEY = "outbox";
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 10_000;

export class Outbox {
  #busy = false;
  #timer = null;
  #wait = FIRST_WAIT_MS;

  /** `on.sent(op, reply)` and `on.refused(op, error)` are told how each ended, `on.changed()` that something did. */
  constructor(api, on) {
    Object.assign(this, { api, on, ops: read(KEY, []) });
  }

  /** Whether the server was asked in vain. */
  get failing() {
    return this.#timer !== null;
  }

  /** Whether an answer is being taken back, so that its item may be leased under a name that is not known here yet. */
  get undoing() {
    return this.ops.some(({ kind }) => kind === "undo");
  }

  /** The leases of which something is on its way. */
  get leases() {
    return this.ops.map(({ lease }) => lease);
  }

  /** Keeps an answer; false where the browser has no room for it. */
  answer(uuid, annotator, lease, said) {
    return this.#add({ kind: "answer", uuid, annotator, lease, body: { uuid, ...said } });
  }

  /** Takes an answer back. One that never left is forgotten: "forgotten". Otherwise the server is told: "told". */
  undo(uuid, annotator, lease) {
    const at = this.ops.findIndex((op) => op.uuid === uuid);
    const underway = at === 0 && this.#busy;
    const [held] = at < 0 || underway ? [] : this.ops.splice(at, 1);
    if (held && !held.tried) {
      this.#keep();
      this.on.changed();
      return "forgotten";
    }
    // One that was tried in vain may have arrived all the same. It is not sent again, and a 404 for it is no news.
    return this.#add({ kind: "undo", uuid, annotator, lease, unsure: held !== undefined }) ? "told" : "full";
  }

  /** The answers that wait for a lease go out under another one: the server leased the item anew. */
  move(from, to) {
    for (const op of this.ops) if (op.lease === from) op.lease = to;
    this.#keep();
  }

  /** Sends what is there, until it is empty or the server is away. */
  async pump() {
    if (this.#busy) return;
    this.#busy = true;
    clearTimeout(this.#timer);
    this.on.changed();
    while (this.ops.length && (await this.#sendFirst()));
    this.#busy = false;
    this.on.changed();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#busy = true;
  }

  #add(op) {
    this.ops.push(op);
    if (this.#keep()) return true;
    this.ops.pop();
    return false;
  }

  #keep() {
    return write(KEY, this.ops);
  }

  /** Whether to go on with the next. */
  async #sendFirst() {
    const op = this.ops[0];
    op.tried = true;
    this.#keep();
    try {
      const reply = await this.#send(op);
      this.#done();
      this.on.sent(op, reply);
    } catch (error) {
      if (!(error instanceof Refused) || error.denied) return this.#later();
      this.#done();
      if (op.unsure && error.status === 404) this.on.sent(op, { item: {} });
      else this.on.refused(op, error);
    }
    return true;
  }

  #send(op) {
    return op.kind === "answer"
      ? this.api.call("PUT", `api/answers/${encodeURIComponent(op.lease)}`, op.body, op.annotator)
      : this.api.call("POST", `api/answers/${encodeURIComponent(op.uuid)}/undo`, undefined, op.annotator);
  }

  #done() {
    this.ops.shift();
    this.#keep();
    this.#timer = null;
    this.#wait = FIRST_WAIT_MS;
  }

  #later() {
    this.#timer = setTimeout(() => this.pump(), this.#wait);
    this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT_MS);
    return false;
  }
}
