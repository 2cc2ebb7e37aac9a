/** The few things that both pages do with the document. */

/** The element of an id. */
export const $ = (id) => document.getElementById(id);

/** An element with properties and children. Names with a dash are attributes; a string among the children is a text
 *  node, so that nothing that comes from a model or a person is ever read as HTML. */
export function h(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-")) node.setAttribute(key, value);
    else node[key] = value;
  }
  node.append(...children);
  return node;
}

/** Fills an element with a text and hides it where there is none. */
export function fill(id, text) {
  const node = $(id);
  if (node.textContent !== text) node.textContent = text;
  node.hidden = text === "";
}

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

/** The hour and minute of a unix time. */
export const clock = (seconds) =>
  new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }).replace(/\s/, "\u00a0");
