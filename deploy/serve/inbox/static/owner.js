/** The owner's page: how the work stands, who does it and how well, and what was asked. It is read anew all the time. */

import { Api, Refused, Unreachable } from "./api.js";
import { $, clock, fill, h } from "./dom.js";
import { askWho, credentials } from "./signin.js";

const WHO = "owner";
const REFRESH_MS = 5000;
const PAGE = 50;
const STATES = ["open", "answered", "skipped", "disagreed", "expired", "withdrawn"];

const whole = (number) => (number ?? null) === null ? "–" : Math.round(number).toLocaleString("en");
const percent = (share) => ((share ?? null) === null ? "–" : `${Math.round(100 * share)} %`);
const seconds = (number) => ((number ?? null) === null ? "–" : `${number.toFixed(0)} s`);
const time = (unix) => ((unix ?? null) === null ? "–" : clock(unix));
const of = (right, asked) => (asked ? `${right} of ${asked}` : "–");
const plain = (value) => (value ?? null) === null ? "–" : String(value);

/** Columns: the heading, and what of a row stands below it. */
const ANNOTATORS = {
  Name: (row) => row.name,
  Answers: (row) => whole(row.answers),
  Skips: (row) => whole(row.skips),
  "Median time": (row) => seconds(row.median_think_s),
  "Known answers right": (row) => of(row.gold_right, row.gold_asked),
  "Repeats alike": (row) => of(row.repeats_same, row.repeats),
  "Agrees with others": (row) => of(row.overlaps_same, row.overlaps),
  Reliability: (row) => percent(row.reliability),
  "Last seen": (row) => time(row.last_seen),
};
const LEASES = {
  Question: (row) => plain(row.item),
  Annotator: (row) => row.annotator,
  Since: (row) => time(row.since),
  Until: (row) => time(row.expires_at),
};
const ITEMS = {
  Question: (row) => plain(row.query),
  Prompt: (row) => plain(row.prompt_id),
  Step: (row) => plain(row.step),
  State: (row) => row.state,
  Priority: (row) => ((row.priority ?? null) === null ? "–" : row.priority.toPrecision(3)),
  Asked: (row) => time(row.asked_at),
  Answer: (row) => plain(row.answer),
  By: (row) => plain(row.answered_by),
  Opinions: (row) => whole(row.opinions),
};

class Owner {
  #pages = [""]; // the cursors of the pages up to this one
  #next = null;

  constructor({ token }) {
    this.api = new Api(token, WHO, (error) => this.#heard(error));
  }

  async start() {
    $("state").append(...STATES.map((state) => h("option", {}, state)));
    $("state").addEventListener("change", () => this.#turn([""]));
    $("older").addEventListener("click", () => this.#turn([...this.#pages, this.#next]));
    $("newer").addEventListener("click", () => this.#turn(this.#pages.slice(0, -1)));
    for (const button of document.querySelectorAll("button[value]")) {
      button.addEventListener("click", () => quietly(this.#save(button.value)));
    }
    quietly(this.#welcome());
  }

  async #welcome() {
    const { run, role } = await this.api.call("GET", "api/whoami");
    if (role !== WHO) return askWho(WHO, `This is the ${role}'s token; the page is for the owner.`);
    $("run").textContent = `${run ?? "No run yet"} – labels`;
    $("overview").hidden = false;
    await this.#refresh();
    setInterval(() => document.hidden || quietly(this.#refresh()), REFRESH_MS);
  }

  async #refresh() {
    const [overview] = await Promise.all([this.api.call("GET", "api/overview"), this.#list()]);
    showProgress(overview);
    show("annotators", "Nobody has answered yet.", ANNOTATORS, overview.annotators);
    show("leases", "Nobody has a question before them.", LEASES, overview.leases);
    $("fresh").textContent = `As of ${new Date().toLocaleTimeString()}`;
  }

  async #list() {
    const asked = this.#pages;
    const query = new URLSearchParams({ limit: PAGE });
    if (asked.at(-1)) query.set("after", asked.at(-1));
    if ($("state").value) query.set("state", $("state").value);
    const { items, next } = await this.api.call("GET", `api/items?${query}`);
    if (asked !== this.#pages) return; // somebody turned the page meanwhile
    this.#next = next;
    $("older").disabled = next === null;
    $("newer").disabled = asked.length === 1;
    show("items", "There is no question in this state.", ITEMS, items);
  }

  #turn(pages) {
    this.#pages = pages;
    quietly(this.#list());
  }

  /** A link could not carry the token. */
  async #save(name) {
    $("saving").textContent = "Fetching …";
    const response = await this.api.fetch("GET", `api/${name}`);
    const link = h("a", { href: URL.createObjectURL(await response.blob()), download: name.replace("export", "labels") });
    link.click();
    URL.revokeObjectURL(link.href);
    $("saving").textContent = "Saved.";
  }

  #heard(error) {
    $("fresh").classList.toggle("trouble", error instanceof Unreachable);
    if (error instanceof Unreachable) $("fresh").textContent = "The server does not answer; trying again";
    if (error?.denied) {
      $("overview").hidden = true;
      askWho(WHO, error.why);
    }
  }
}

function showProgress({ stats, states, answers_per_hour, agreement }) {
  const figures = {
    ...(stats.budget_total === null ? {} : { [`of ${whole(stats.budget_total)} labels left`]: whole(stats.budget_left) }),
    "answers per hour": whole(answers_per_hour),
    "agreement of annotators": percent(agreement),
    leased: whole(stats.leased),
    ...Object.fromEntries(STATES.map((state) => [state, whole(states[state] ?? 0)])),
  };
  const pairs = Object.entries(figures).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
  $("numbers").replaceChildren(...pairs);
  fill("waiting", stats.waiting ? "The run is waiting for answers" : "");
}

/** A table, or a sentence where there is nothing. */
function show(id, none, columns, rows) {
  if (rows.length === 0) return $(id).replaceChildren(h("p", { className: "none" }, none));
  const head = Object.keys(columns).map((name) => h("th", { scope: "col" }, name));
  const body = rows.map((row) => h("tr", {}, ...Object.values(columns).map((cell) => h("td", {}, cell(row)))));
  const table = h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...body));
  $(id).replaceChildren(table);
}

function quietly(work) {
  work.catch((error) => {
    if (error instanceof Unreachable || error.denied) return;
    if (!(error instanceof Refused)) throw error;
    $("problems").replaceChildren(h("p", {}, error.message));
  });
}

const who = credentials(WHO, false);
if (who === null) askWho(WHO);
else new Owner(who).start();
