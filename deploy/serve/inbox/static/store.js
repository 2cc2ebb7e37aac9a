/** What this browser remembers. The names begin alike, so that another page of the same host is not in the way. */

const name = (key) => `effrl.inbox.${key}`;

export function read(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name(key))) ?? otherwise;
  } catch {
    return otherwise; // written by something else: as good as nothing
  }
}

/** Whether it could be kept: a browser's storage may be full. */
export function write(key, value) {
  try {
    localStorage.setItem(name(key), JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

export const forget = (key) => localStorage.removeItem(name(key));
