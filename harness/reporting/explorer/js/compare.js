// Two players, A and B: every task with what B gained and lost, and how sure that is.

function sideChooser(which, side) {
  const letter = which.toUpperCase(), { run } = side;
  const objectives = run.objectives.map(({ label, name }) => ({ value: label, text: name }));
  const iterations = [...Array(run.iterations).keys()].map((t) => ({ value: t, text: String(t) }));
  const take = (changes) => {
    const next = { ...side, ...changes };
    if (changes.run) Object.assign(next, defaultSide(which, changes.run));
    if (isStart(next.label)) next.t = -1;
    else if (next.t < 0) next.t = lastIteration(next.run);
    change({ [which]: sideKey(next) });
  };
  return el("fieldset", { class: `side ${which}` }, el("legend", null, letter),
    runs.length > 1 ? select(`${which}-run`, `Run of ${letter}`, runs.map((one, place) => ({ value: place, text: one.name })), runs.indexOf(run), (value) => take({ run: runs[value] })) : null,
    select(`${which}-objective`, `Objective of ${letter}`, objectives, side.label, (value) => take({ label: value })),
    isStart(side.label) ? null : select(`${which}-iteration`, `Iteration of ${letter}`, iterations, side.t, (value) => take({ t: Number(value) })));
}

// The row of comparisons.csv for B against A, turned so that it reads B minus A; null where the table has none.
function tabled(a, b, task) {
  const every = state.seed === "all" || a.run.seeds.length === 1;
  if (a.run !== b.run || !every) return null;
  for (const [label, t, other, otherT, name, difference, low, high, p, holm, seeds, items, clusters, over] of a.run.comparisons) {
    if (name !== task) continue;
    const common = { p, holm, seeds, items, clusters, over };
    if (label === b.label && t === b.t && other === a.label && otherT === a.t) return { difference, low, high, ...common };
    if (label === a.label && t === a.t && other === b.label && otherT === b.t)
      return { difference: -difference, low: high === null ? null : -high, high: low === null ? null : -low, ...common };
  }
  return null;
}

function viewCompare() {
  const a = sideOf("a"), b = sideOf("b"), seeds = seedsOf(a, b), run = a.run;
  const pairs = pairAll(a, b, seeds);
  const averaged = run.tasks.filter((task) => task.in_mean).map((task) => pairs.get(task.name));
  const mean = averaged.length && averaged.every(Boolean)
    ? { gained: sum(averaged, "gained"), lost: sum(averaged, "lost"), n: sum(averaged, "n"), p: null } : null;
  const rows = [
    run.metric.has("mean") ? compareRow("all", `mean of ${averaged.length}`, a, b, "mean", "%", mean, tabled(a, b, "mean"), true) : null,
    ...run.tasks.map((task) => compareRow(task.name, task.label, a, b, task.metric_id, task.percent ? "%" : task.metric, pairs.get(task.name), tabled(a, b, task.name), task.up)),
  ];
  const header = ["task", "A", "B", `B ${MINUS} A`, "gained", "lost", "p"];
  const swap = button("swap", "Swap A and B", () => change({ a: sideKey(b), b: sideKey(a) }));
  return [el("h2", null, "Compare two players"),
    el("div", { class: "fields" }, sideChooser("a", a), sideChooser("b", b), seedChooser(run), swap),
    el("div", { class: "columns" }, el("div", { class: "left" }, table(compareCaption(a, b, seeds, mean), header, rows, { class: "compare" })),
      el("div", { class: "right" }, itemList(a, b, pairs)))];
}

const sum = (entries, name) => entries.reduce((total, entry) => total + entry[name], 0);

function compareRow(name, label, a, b, id, unit, pair, row, up) {
  const [valueA, valueB] = [score(a, id)?.[3], score(b, id)?.[3]];
  const difference = row ? row.difference : valueA === undefined || valueB === undefined ? null : valueB - valueA;
  const p = row ? row.holm ?? row.p : pair?.p;
  const certain = difference !== null && (row && row.low !== null ? row.low > 0 || row.high < 0 : p !== null && p !== undefined && p < 0.05);
  const sign = !certain ? "" : difference > 0 === up ? " better" : " worse";
  const interval = row && row.low !== null ? el("span", { class: "interval" }, ` [${signed(row.low, unit)}, ${signed(row.high, unit)}]`) : null;
  const chosen = state.task === name;
  return el("tr", { class: name === "all" ? "total" : null, "data-task": name },
    el("th", { scope: "row" }, button(`task-${name}`, label, () => change({ task: name }), chosen)),
    el("td", { class: "n" }, number(valueA, unit)), el("td", { class: "n" }, number(valueB, unit)),
    el("td", { class: `n${sign}` }, difference === null ? DASH : signed(difference, unit), interval),
    el("td", { class: "n" }, pair ? String(pair.gained) : DASH), el("td", { class: "n" }, pair ? String(pair.lost) : DASH),
    el("td", { class: "n" }, pValue(p)));
}

function compareCaption(a, b, seeds, mean) {
  const row = tabled(a, b, "mean");
  const parts = [`B ${MINUS} A: ${sideName(b)}, against ${sideName(a)}. Percent and points`];
  if (mean) parts.push(`n = ${plural(mean.n, "item")} in the mean${seeds.length > 1 ? `, gained and lost counted over ${seeds.length} seeds` : ""}`);
  else parts.push("for one of the tasks in the mean the items of both are not there, or are not the same");
  if (row) {
    const clusters = row.clusters !== null && row.clusters < row.items ? ` in ${row.clusters.toLocaleString("en")} clusters` : "";
    parts.push(`brackets: 95 % interval, p: after Holm, both paired over ${row.over}, ${plural(row.items, "item")}${clusters}, from comparisons.csv`);
  } else parts.push("p: exact test (McNemar, clusters of items as one) over these items and seeds as given, not corrected for the number of tasks; the tables compare last iterations alone, so the mean has no interval here");
  return parts.join("; ") + `; in colour: the interval is without 0, or p < .05 where there is none.`;
}
