// Elements of the page. Text enters as text alone: nothing here reads markup from a string.

function el(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "heat") element.style.setProperty("--heat", value);
    else if (name === "colours") colour(element, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined));
  return element;
}

// The colour of an objective, for the light and for the dark page; the style sheet takes one.
function colour(element, [light, dark]) {
  element.style.setProperty("--light-colour", light);
  element.style.setProperty("--dark-colour", dark);
}

const byId = (id) => document.getElementById(id);

// A wide thing that scrolls by itself, by keyboard too; its caption stands outside.
const region = (label, ...content) => el("div", { class: "scroll", role: "region", "aria-label": label, tabindex: "0" }, content);

function table(caption, header, rows, properties) {
  const isNumber = (place) => rows.find(Boolean)?.cells[place]?.classList.contains("n");
  const head = header.map((cell, place) => el("th", { scope: "col", class: isNumber(place) ? "n" : null }, cell));
  const label = caption.split(". ")[0];
  const body = el("table", { ...properties, "aria-label": label }, el("thead", null, el("tr", null, head)), el("tbody", null, rows));
  return [region(label, body), el("p", { class: "note" }, caption)];
}

function select(id, label, options, value, change) {
  const groups = new Map();
  const list = el("select", { id, onchange: (event) => change(event.target.value) });
  for (const { value: own, text, group } of options) {
    const option = el("option", { value: own, selected: String(own) === String(value) }, text);
    if (!group) list.append(option);
    else {
      if (!groups.has(group)) list.append(groups.set(group, el("optgroup", { label: group })).get(group));
      groups.get(group).append(option);
    }
  }
  return el("span", { class: "field" }, el("label", { for: id }, label), list);
}

const button = (id, text, press, pressed) =>
  el("button", { id, type: "button", onclick: press, "aria-pressed": pressed === undefined ? null : String(pressed) }, text);

const search = (id, label, value, input) =>
  el("span", { class: "field" }, el("label", { for: id }, label),
    el("input", { id, type: "search", value, autocomplete: "off", spellcheck: "false", oninput: (event) => input(event.target.value) }));

const swatch = (colours) => el("span", { class: "swatch", colours, "aria-hidden": "true" });

// What changed, for whoever does not see it.
function announce(text) {
  if (byId("said").textContent !== text) byId("said").textContent = text;
}
