/** The items that are leased to this person: the one on the screen first, and the next ones behind it. They are kept in
 *  the browser, so that a reload goes on with the same item. */

import { read, write } from "./store.js";

const HELD = 2;

export class Hand {
  #asking = false;

  /** `on.changed()` is told that the items changed, `on.lost()` that the first one is somebody
   *  else's now, and `on.stats(stats)` how the work stands. */
  constructor(api, on) {
    Object.assign(this, { api, on, key: `hand.${api.name}` });
    this.items = read(this.key, []);
    this.none = false; // whether the server had nothing when it was last asked
  }

  get first() {
    return this.items[0] ?? null;
  }

  take() {
    const item = this.items.shift();
    this.#changed();
    return item;
  }

  putBack(item) {
    this.items.unshift(item);
    this.#changed();
  }

  drop(lease) {
    this.items = this.items.filter((item) => item.lease !== lease);
    this.#changed();
  }

  /** The answer to an item was taken back; the server leased it anew, or never had the answer. */
  undone(from, { lease = from, expires_at, amends = false }) {
    const item = this.items.find((held) => held.lease === from);
    if (item) Object.assign(item, { lease, amends, undoing: false, expires_at: expires_at ?? item.expires_at });
    this.#changed();
  }

  /** Leases what is missing. What the server leased and nobody here names it hands out again, as lost: so those are named
   *  too of which the answers are on their way. A failure is no matter, since this is called every few seconds. */
  async refill(underway) {
    if (this.#asking || this.items.length >= HELD) return;
    this.#asking = true;
    try {
      const count = HELD - this.items.length;
      const holding = [...this.items.map(({ lease }) => lease), ...underway];
      const { items, stats } = await this.api.call("POST", "api/leases", { count, holding });
      const held = new Set(this.items.map(({ item }) => item));
      this.items.push(...items.filter(({ item }) => !held.has(item)));
      this.none = items.length === 0;
      this.on.stats(stats);
      this.#changed();
    } finally {
      this.#asking = false;
    }
  }

  /** Lets others have the items at once. Where the server cannot be told, their leases run out. */
  async giveBack() {
    const leases = this.items.map(({ lease }) => lease);
    this.items = [];
    this.#changed();
    await Promise.all(leases.map((lease) => this.api.call("DELETE", `api/leases/${encodeURIComponent(lease)}`)));
  }

  /** Tells the server that somebody sits before these items, and lets go of those that it gave to others. An item whose
   *  answer is being taken back has no lease until that is done. */
  async heartbeat() {
    const leases = this.items.filter(({ undoing }) => !undoing).map(({ lease }) => lease);
    if (leases.length === 0) return;
    const { expires_at: until, lost } = await this.api.call("POST", "api/leases/heartbeat", { leases });
    const first = this.first;
    const gone = this.items.filter(({ lease, undoing }) => !undoing && lost.includes(lease));
    this.items = this.items.filter((item) => !gone.includes(item));
    for (const item of this.items) item.expires_at = until[item.lease] ?? item.expires_at;
    this.#changed();
    if (gone.includes(first)) this.on.lost();
  }

  #changed() {
    write(this.key, this.items);
    this.on.changed();
  }
}
