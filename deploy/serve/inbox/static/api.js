/** Calls of the inbox. A call ends in its reply, in `Refused` (the server says no, and would say it again) or in
 *  `Unreachable` (nobody knows whether it arrived; the same call may be made again). */

export class Refused extends Error {
  constructor(status, detail) {
    super(detail.replace(/^./, (letter) => letter.toUpperCase()).replace(/\w$/, "$&."));
    this.status = status;
  }

  /** Whether another token or name may help. */
  get denied() {
    return this.status === 401 || this.status === 403;
  }

  /** What the server says to a program about tokens, said to a person. */
  get why() {
    return this.status === 401 ? "The server does not know this token." : this.message;
  }
}

export class Unreachable extends Error {}

const PATIENCE_MS = 15_000;
const TRY_AGAIN = new Set([408, 425, 429]);

export class Api {
  /** `heard(error)` is told how each call ended, with null for a reply. */
  constructor(token, name, heard) {
    Object.assign(this, { token, name, heard });
  }

  /** The reply as an object, or null where it is empty. */
  async call(method, path, body, name = this.name) {
    const response = await this.fetch(method, path, { body, name, signal: AbortSignal.timeout(PATIENCE_MS) });
    if (response.status === 204) return null;
    return response.json().catch((error) => {
      throw new Unreachable(error.message); // cut off in the middle
    });
  }

  async fetch(method, path, { body, name = this.name, signal } = {}) {
    try {
      const response = await this.#fetch(method, path, body, name, signal);
      this.heard(null);
      return response;
    } catch (error) {
      this.heard(error);
      throw error;
    }
  }

  async #fetch(method, path, body, name, signal) {
    const headers = { Authorization: `Bearer ${this.token}`, "X-Annotator": encodeURIComponent(name) };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(path, { method, headers, signal, body: JSON.stringify(body), cache: "no-store" });
    } catch (error) {
      throw new Unreachable(error.message);
    }
    if (response.ok) return response;
    if (response.status >= 500 || TRY_AGAIN.has(response.status)) throw new Unreachable(`status ${response.status}`);
    throw new Refused(response.status, await reason(response));
  }
}

/** One sentence. A validation error is a list of what is wrong where. */
async function reason(response) {
  const { detail } = await response.json().catch(() => ({}));
  if (typeof detail === "string") return detail;
  if (Array.isArray(detail)) return detail.map(({ loc, msg }) => `${loc?.join(".")}: ${msg}`).join("; ");
  return `The server answered with status ${response.status}.`;
}

/** A UUID of version 4. `crypto.randomUUID` is missing where the page comes over plain HTTP from another machine. */
export function uuid4() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
