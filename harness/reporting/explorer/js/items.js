// The items on which A and B are compared, with both answers, and the fate of each over all players.

const KINDS = [["gained", "gained"], ["lost", "lost"], ["right", "both right"], ["wrong", "both wrong"], ["all", "all"]];
const PAGE = 100;

function itemList(a, b, pairs) {
  const { run } = a;
  const names = run.tasks.map((task) => task.name).filter((name) => pairs.get(name) && (state.task === "all" || state.task === name));
  const found = names.flatMap((name) => pairs.get(name).cases);
  if (!found.length) return el("p", { class: "note" }, "Item scores of both players are not here, so items cannot be listed.");
  const words = state.q.trim().toLowerCase();
  const matching = words ? found.filter((one) => textOf(a, b, one).includes(words)) : found;
  const counts = Object.fromEntries(KINDS.map(([kind]) => [kind, kind === "all" ? matching.length : matching.filter((one) => one.kind === kind).length]));
  const shown = state.show === "all" ? matching : matching.filter((one) => one.kind === state.show);
  const limit = PAGE * (1 + Number(state.more));
  const tasks = [{ value: "all", text: "all tasks" }, ...run.tasks.map((task) => ({ value: task.name, text: task.label }))];
  const filters = KINDS.map(([kind, text]) => button(`show-${kind}`, `${text} ${counts[kind].toLocaleString("en")}`, () => change({ show: kind }), state.show === kind));
  const count = a.run.seeds.length > 1 && state.seed === "all" ? `${plural(shown.length, "case")}, each an item in a seed` : plural(shown.length, "item");
  announce(`${count} shown`);
  const list = el("ol", { class: "items", id: "items" }, shown.slice(0, limit).map((one) => itemEntry(a, b, one)));
  const more = shown.length > limit ? button("show-more", `Show ${Math.min(PAGE, shown.length - limit)} more of ${(shown.length - limit).toLocaleString("en")}`, () => change({ more: Number(state.more) + 1 })) : null;
  const templates = names.map((name) => run.task.get(name)).filter((task) => task.template);
  return [el("h3", null, `${sideName(b)}, against ${sideName(a)}`),
    el("div", { class: "fields", role: "group", "aria-label": "Filter the items" }, filters),
    el("div", { class: "fields" }, select("task", "Task", tasks, state.task, (value) => change({ task: value })), search("q", "Search", state.q, (value) => change({ q: value }))),
    el("p", { class: "note", id: "count" }, `${count}. ${keptNote(names.map((name) => run.task.get(name)))}`), list, more,
    templates.length ? el("details", null, el("summary", null, "What every prompt begins and ends with"),
      templates.map((task) => el("p", null, `${task.label}: `, el("code", null, task.template[0]), " … ", el("code", null, task.template[1])))) : null];
}

function keptNote(tasks) {
  const lacking = tasks.filter((task) => !task.prompts), silent = tasks.filter((task) => !task.chosen && !task.says);
  if (lacking.length === tasks.length) return silent.length ? "Texts of items and answers were not kept in this run: whether each was right is all there is." : "Texts of items were not kept in this run.";
  return silent.length ? `Answers were not kept for: ${silent.map((task) => task.label).join(", ")}.` : "";
}

function textOf(a, b, one) {
  const task = a.run.task.get(one.name);
  const answers = [answerOf(task, one.playerA, one.item), answerOf(b.run.task.get(one.name), one.playerB, one.item)];
  return [task.prompts?.[one.item], wantedOf(task, one.item), topicOf(task, one.item), ...answers.map((answer) => answer?.text)].filter(Boolean).join("\n").toLowerCase();
}

const topicOf = (task, item) => (task.topics && task.clusters ? task.topics[task.clusters[item]] : null);

function wantedOf(task, item) {
  const wanted = task.wanted?.[item];
  return typeof wanted === "number" ? task.options?.[item]?.[wanted] ?? `option ${wanted + 1}` : wanted;
}

function itemEntry(a, b, one) {
  const task = a.run.task.get(one.name), topic = topicOf(task, one.item), wanted = wantedOf(task, one.item);
  const head = [task.label, `item ${task.ids ? task.ids[one.item] : one.item}`, topic && `${task.topic}: ${topic}`,
    a.run.seeds.length > 1 && `seed ${one.seed}`].filter(Boolean).join(" · ");
  return el("li", { "data-kind": one.kind, "data-item": `${one.name}/${one.item}/${one.seed}` },
    el("p", { class: "note" }, head), task.prompts ? el("p", { class: "prompt" }, task.prompts[one.item]) : null,
    wanted ? el("p", { class: "wanted" }, "wanted: ", el("span", { class: "text" }, wanted)) : null,
    el("div", { class: "answers-ab" }, answerBox("A", a, one.playerA, one), answerBox("B", b, one.playerB, one)),
    fate(a, b, one));
}

function answerBox(letter, side, player, one) {
  const task = side.run.task.get(one.name), value = valueOf(task, player, one.item), answer = answerOf(task, player, one.item);
  const mark = task.bits ? (value ? "✓ right" : "✗ wrong") : number(value, task.percent ? "%" : task.metric);
  return el("div", { class: task.bits ? (value ? "right" : "wrong") : null }, el("p", null, el("strong", null, `${letter} ${mark}`), ` ${sideName(side)}`),
    answer ? el("p", { class: "text" }, answer.text === "" ? "(nothing)" : answer.text) : null,
    answer && answer.taken !== undefined ? el("p", { class: "note" }, "taken as the answer: ", el("span", { class: "text" }, answer.taken || "(nothing)")) : null);
}

// A dot per player of this seed: full where it was right. A and B are underlined.
function fate(a, b, one) {
  const { run } = a, task = run.task.get(one.name);
  if (!task.bits) return null;
  const parts = run.objectives.map(({ label, name, colours }) => {
    const times = isStart(label) ? [-1] : [...Array(run.iterations).keys()];
    const players = times.map((t) => [t, playerOf({ run, label, t }, one.seed)]).filter(([, player]) => player !== undefined);
    if (!players.length) return null;
    const dots = players.map(([t, player]) => {
      const chosen = [[a, "A"], [b, "B"]].find(([side]) => side.run === run && side.label === label && side.t === t);
      return el("span", { class: chosen ? "chosen" : null }, valueOf(task, player, one.item) ? "●" : "○");
    });
    const right = players.filter(([, player]) => valueOf(task, player, one.item)).map(([t]) => iterationName(t));
    const spoken = isStart(label) ? `${right.length ? "right" : "wrong"}` : right.length ? `right at ${right.join(", ")}` : "never right";
    return el("span", { role: "img", "aria-label": `${name}: ${spoken}`, title: `${name}: ${spoken}` }, swatch(colours), `${name} `, dots);
  });
  return el("p", { class: "fate" }, parts);
}
