/** Who is there: token and name come once from the address's fragment, which no server and no log sees, or from a form. */

import { $ } from "./dom.js";
import { read, write } from "./store.js";

const TOKEN = /^[\x21-\x7e]+$/;
const NAME = /^[\p{L}\p{N}_ .@-]{1,40}$/u;

/** The credentials under `key`, or null; those in the fragment are taken first, and the fragment is cleared. */
export function credentials(key, named) {
  const given = new URLSearchParams(location.hash.slice(1));
  const known = read(key, {});
  const found = { token: given.get("token") ?? known.token, name: given.get("name") ?? known.name };
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  if (given.has("token") || given.has("name")) write(key, found);
  return valid(found, named) ? found : null;
}

const valid = ({ token = "", name = "" }, named) => TOKEN.test(token) && (!named || NAME.test(name));

/** Shows the form, says why, and loads the page anew with what is entered: nothing of the old person stays behind. */
export function askWho(key, why = "") {
  const known = read(key, {});
  const form = $("signin");
  if (!form.hidden) return;
  $("why").textContent = why;
  $("token").value = known.token ?? "";
  if ($("name")) $("name").value = known.name ?? "";
  form.hidden = false;
  ($("name") && known.token && !known.name ? $("name") : $("token")).focus();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const entered = { token: $("token").value.trim(), name: $("name")?.value.trim() };
    if (!valid(entered, $("name") !== null)) {
      $("why").textContent = "A name has 1 to 40 letters, digits, spaces or . @ _ - and a token has no spaces.";
      return;
    }
    write(key, entered);
    location.reload();
  });
}
