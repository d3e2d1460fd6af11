// The page's state is its address: after the "#", as a query. What is not there has its default, and is not written.

const DEFAULTS = { view: "answer", run: "0", a: "", b: "", seed: "all", metric: "mean", task: "all", show: "gained", q: "", prompt: "0", more: "0",
  settings: "differing" };
let state = { ...DEFAULTS };

function readState() {
  const typed = new URLSearchParams(location.hash.slice(1));
  state = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS)) if (typed.has(name)) state[name] = typed.get(name);
}

function address(changes) {
  const next = { ...state, ...changes };
  const typed = new URLSearchParams();
  for (const name of Object.keys(DEFAULTS)) if (next[name] !== DEFAULTS[name]) typed.set(name, next[name]);
  return "#" + typed.toString().replaceAll("%40", "@").replaceAll("%3A", ":").replaceAll("%2F", "/");
}

// Another state in place of this one; links go to a new one, so that "back" goes from view to view.
function change(changes) {
  const known = Object.fromEntries(Object.entries(changes).map(([name, value]) => [name, String(value)]));
  const next = address({ more: "0", ...known });
  if (next !== location.hash) location.replace(next === "#" ? "#view=answer" : next);
}
