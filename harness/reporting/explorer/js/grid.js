// Objectives by iterations, one metric at a time, as numbers on a ground that says how high they are.

function metricChooser(run) {
  const options = run.metrics.map((metric) => ({ value: metric.id, text: metric.label, group: metric.group }));
  return select("metric", "Measure", options, state.metric, (value) => change({ metric: value }));
}

function seedChooser(run) {
  const all = run.seeds.length > 1 ? [{ value: "all", text: `mean of ${run.seeds.length}` }] : [{ value: "all", text: `${run.seeds[0]} (the only one)` }];
  const seeds = run.seeds.length > 1 ? run.seeds.map((seed) => ({ value: String(seed), text: String(seed) })) : [];
  return select("seed", "Seed", [...all, ...seeds], state.seed, (value) => change({ seed: value }));
}

const runChooser = () => runs.length < 2 ? null :
  select("run", "Run", runs.map((run, place) => ({ value: place, text: run.name })), runs.indexOf(currentRun()), (value) => change({ run: value, a: "", b: "" }));

function viewGrid() {
  const run = currentRun(), metric = run.metric.get(state.metric) || run.metrics[0];
  if (!metric) return [el("h2", null, "Grid"), el("p", null, "Nothing has been measured yet.")];
  const seed = state.seed === "all" ? null : Number(state.seed);
  const cell = (label, t) => metricRow(run, metric.id, label, seed, t);
  const times = [-1, ...Array(run.iterations).keys()];
  const values = run.objectives.flatMap(({ label }) => times.map((t) => cell(label, t)?.[3])).filter((value) => value !== undefined);
  const least = Math.min(...values), most = Math.max(...values);
  const heat = (value) => `${Math.round(55 * (most > least ? (value - least) / (most - least) : 0))}%`;
  const rows = run.objectives.map((objective) => {
    const cells = times.map((t) => {
      const row = cell(objective.label, t);
      if (!row) return el("td", { class: "n empty" }, isStart(objective.label) === t < 0 ? DASH : "");
      const crosses = (list) => (seed === null && run.seeds.length > 1 ? new Set(list.map((one) => one[1])).size : "");
      const found = run.findings.filter(([label, own, at]) => label === objective.label && at === t && (seed === null || own === seed));
      const id = `cell-${objective.label}@${t}`;
      const pick = el("button", { id, type: "button", tabindex: "-1", "aria-describedby": "cell-note", onfocus: () => tell(objective, t, row, found),
        onclick: (event) => change({ view: "compare", [event.shiftKey ? "a" : "b"]: sideKey({ run, label: objective.label, t }) }) },
        found.length ? el("span", { class: "alarm", title: found.map((one) => one[3]).join(", ") }, `✕${crosses(found)} `) : null, number(row[3], metric.unit));
      return el("td", { class: "n heat", heat: heat(row[3]) }, pick);
    });
    return el("tr", null, el("th", { scope: "row" }, swatch(objective.colours), objective.name), cells, el("td", null, isStart(objective.label) ? null : spark(objective, times.map((t) => cell(t < 0 ? START : objective.label, t)?.[3]), least, most)));
  });
  const direction = metric.up === null ? "" : metric.up ? "; higher is better" : "; lower is better";
  const unit = metric.unit === "%" ? "percent" : metric.unit;
  const which = seed === null ? (run.seeds.length > 1 ? `mean of ${run.seeds.length} seeds` : "one seed") : `seed ${seed}`;
  const caption = `${metric.label}, ${which}, in ${unit}${direction}. ${metric.note} ${metric.group === "Drift" ? "" : run.note + " "}From ${metric.source}.`;
  const note = el("p", { id: "cell-note", class: "cell-note" }, "Arrow keys go from cell to cell; Enter compares the cell as B, Shift and Enter as A. ✕: a collapse was found" + (run.seeds.length > 1 && seed === null ? ", in so many seeds." : "."));
  function tell(objective, t, row, found) {
    const collapse = found.map(([, own, , kind, evidence]) => ` ✕ ${kind}${run.seeds.length > 1 && own !== null ? ` (seed ${own})` : ""}: ${evidence}.`).join("");
    note.textContent = `${objective.name}${t < 0 ? "" : `, iteration ${t}`}: ${withError(row, metric.unit)}${metric.unit === "%" ? " %" : ` ${metric.unit}`}.${collapse}`;
    announce(note.textContent);
  }
  const board = table(caption, ["objective", ...times.map(iterationName), "course"], rows, { class: "grid" });
  board[0].addEventListener("keydown", walkGrid);
  (board[0].querySelector("tbody button") || {}).tabIndex = 0;
  return [el("h2", null, "Grid: objective by iteration"), el("p", { class: "fields" }, runChooser(), metricChooser(run), seedChooser(run)), note, board, findingsList(run)];
}

function findingsList(run) {
  if (!run.findings.length) return null;
  const rows = run.findings.map(([label, seed, t, kind, evidence]) => el("tr", null, el("th", { scope: "row" }, run.objective.get(label)?.name || label),
    el("td", { class: "n" }, seed === null ? DASH : String(seed)), el("td", { class: "n" }, iterationName(t)), el("td", null, kind), el("td", { class: "wide-cell" }, evidence)));
  return el("details", null, el("summary", null, `✕ ${plural(run.findings.length, "finding")} of the collapse detector`),
    table("Collapse: what the detector found. From collapse.csv.", ["objective", "seed", "iteration", "finding", "evidence"], rows));
}

function spark(objective, values, least, most) {
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  const at = (value, place) => `${2 + place * (76 / Math.max(1, values.length - 1))},${18 - 16 * (most > least ? (value - least) / (most - least) : 0.5)}`;
  line.setAttribute("points", values.map((value, place) => (value === undefined ? null : at(value, place))).filter(Boolean).join(" "));
  colour(line, objective.colours);
  drawing.setAttribute("viewBox", "0 0 80 20");
  drawing.setAttribute("class", "spark");
  drawing.setAttribute("aria-hidden", "true");
  drawing.append(line);
  return drawing;
}

// Arrow keys, Home and End in the grid; one cell is in the order of the Tab key.
function walkGrid(event) {
  const from = event.target.closest("td");
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -99], End: [0, 99] }[event.key];
  if (!from || !step) return;
  event.preventDefault();
  const lines = [...event.currentTarget.querySelectorAll("tbody tr")];
  let line = lines.indexOf(from.parentElement), place = from.cellIndex, found = null;
  if (Math.abs(step[1]) > 1) {
    const buttons = from.parentElement.querySelectorAll("button");
    found = buttons[step[1] < 0 ? 0 : buttons.length - 1];
  }
  while (!found) {
    line += step[0];
    place += step[1];
    if (!lines[line] || place < 1 || place >= lines[line].cells.length) break;
    const cells = lines[line].cells;
    found = cells[place].querySelector("button") || (step[0] && line !== lines.indexOf(from.parentElement) ? cells[place < 2 ? 2 : 1].querySelector("button") : null);
  }
  if (!found) return;
  for (const other of event.currentTarget.querySelectorAll("button")) other.tabIndex = -1;
  found.tabIndex = 0;
  found.focus();
}
