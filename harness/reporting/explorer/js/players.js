// Players: a run's objective after an iteration. A side of a comparison is {run, label, t}; -1 is the start, the same in every seed.

let runs = [];

function unpackRun(run) {
  run.place = new Map(run.players.map(([label, seed, t], place) => [`${label}/${seed}/${t}`, place]));
  run.objective = new Map(run.objectives.map((objective) => [objective.label, objective]));
  run.metric = new Map(run.metrics.map((metric) => [metric.id, metric]));
  for (const metric of run.metrics) metric.at = new Map(metric.rows.map((row) => [row.slice(0, 3).join("/"), row]));
  run.task = new Map(run.tasks.map((task) => [task.name, task]));
  return run;
}

// Texts of items are in the page once; every run that was asked the same items has them.
function shareItems() {
  const tasks = runs.flatMap((run) => run.tasks);
  const texts = new Map(tasks.filter((task) => task.prompts).map(({ digest, prompts, template, ids, options, wanted, topic, topics }) =>
    [digest, { prompts, template, ids, options, wanted, topic, topics }]));
  for (const task of tasks) if (texts.has(task.digest)) Object.assign(task, texts.get(task.digest));
}

const START = "initial";
const currentRun = () => runs[Number(state.run)] || runs[0];
const lastIteration = (run) => run.iterations - 1;
const isStart = (label) => label === START;
const iterationName = (t) => (t < 0 ? "start" : String(t));

function sideName(side) {
  const name = isStart(side.label) ? "start" : `${side.run.objective.get(side.label).name}, iteration ${side.t}`;
  return runs.length > 1 ? `${side.run.name}: ${name}` : name;
}

const sideKey = (side) => (runs.length > 1 ? `${runs.indexOf(side.run)}/` : "") + (isStart(side.label) ? "start" : `${side.label}@${side.t}`);

// Defaults: A is the supervised baseline, else the start; B the best of the others after the last iteration.
function defaultSide(which, run) {
  const t = lastIteration(run);
  if (which === "a" && run.baseline) return { run, label: run.baseline, t };
  const means = run.objectives.map(({ label }) => [label, metricRow(run, "mean", label, null, t)]);
  const others = means.filter(([label, row]) => row && label !== run.baseline);
  const best = others.reduce((a, b) => (b[1][3] > a[1][3] ? b : a), others[0] || [run.leader]);
  return which === "a" || !best[0] ? { run, label: START, t: -1 } : { run, label: best[0], t };
}

function sideOf(which) {
  const [, place, label, t] = /^(?:(\d+)\/)?(.*?)(?:@(-?\d+))?$/.exec(state[which]) || [];
  const run = place === undefined ? currentRun() : runs[Number(place)];
  if (run && label === "start") return { run, label: START, t: -1 };
  const known = run && run.objective.has(label) && Number(t) >= 0 && Number(t) <= lastIteration(run);
  return known ? { run, label, t: Number(t) } : defaultSide(which, run || currentRun());
}

// The seeds that are compared: those typed, of which both sides have items.
function seedsOf(a, b) {
  const seeds = a.run.seeds.filter((seed) => b.run.seeds.includes(seed) && (state.seed === "all" || String(seed) === state.seed));
  return seeds.filter((seed) => [a, b].every((side) => playerOf(side, seed) !== undefined));
}

const playerOf = (side, seed) => side.run.place.get(`${side.label}/${isStart(side.label) ? null : seed}/${side.t}`);

const metricRow = (run, id, label, seed, t) => run.metric.get(id)?.at.get(`${label}/${isStart(label) ? "" : seed ?? ""}/${t}`);

// A side's number: of one seed, or over all of them.
function score(side, id) {
  const seed = state.seed === "all" ? null : Number(state.seed);
  return metricRow(side.run, id, side.label, seed, side.t);
}

const hasItems = (task) => Boolean(task.bits || task.values);
const valueOf = (task, player, item) => (task.bits ? (task.bits[player][item] === "1" ? 1 : 0) : task.values[player][item]);

// What a player answered: {text, taken}, null where that was not kept.
function answerOf(task, player, item) {
  if (task.chosen) {
    const option = parseInt(task.chosen[player][item], 36);
    return { text: task.options?.[item]?.[option] ?? `option ${option + 1}`, option };
  }
  const number = task.says?.[player]?.[item];
  if (number === undefined || number === null) return null;
  const said = task.said[item][number];
  return typeof said === "string" ? { text: said } : { text: said[0], taken: said[1] };
}
