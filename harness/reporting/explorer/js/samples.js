// What every player says to the same held-out prompts.

function viewSamples() {
  const run = currentRun(), { prompts } = run.samples;
  if (!prompts.length) return [el("h2", null, "Held-out samples"), el("p", { class: "fields" }, runChooser()), el("p", null, "Responses to held-out prompts are not in this run.")];
  const words = state.q.trim().toLowerCase();
  const matching = prompts.map((one, place) => [one, place]).filter(([one]) => !words || [one.prompt, one.real, ...one.said.map((row) => row[3])].join("\n").toLowerCase().includes(words));
  const place = matching.some(([, own]) => own === Number(state.prompt)) ? Number(state.prompt) : matching[0]?.[1];
  const step = (by) => {
    const at = matching.findIndex(([, own]) => own === place) + by;
    return matching[at] ? () => change({ prompt: matching[at][1] }) : null;
  };
  const seed = state.seed === "all" ? run.seeds[0] : Number(state.seed);
  const options = matching.map(([one, own]) => ({ value: own, text: `${own + 1}: ${one.prompt.replace(/\s+/g, " ").slice(0, 60)}` }));
  const seeds = run.seeds.map((own) => ({ value: String(own), text: String(own) }));
  const go = (id, text, press) => { const made = button(id, text, press || (() => {})); made.disabled = !press; return made; };
  const head = [el("h2", null, "Held-out samples"),
    el("p", { class: "fields" }, runChooser(), search("q", "Search", state.q, (value) => change({ q: value })),
      matching.length ? select("prompt", "Prompt", options, place, (value) => change({ prompt: value })) : null,
      go("previous", "Previous", step(-1)), go("next", "Next", step(1)), run.seeds.length > 1 ? select("seed", "Seed", seeds, seed, (value) => change({ seed: value })) : null)];
  announce(`${matching.length} of ${plural(prompts.length, "prompt")}`);
  if (!matching.length) return [...head, el("p", { class: "note" }, `None of ${prompts.length} prompts has these words.`)];
  const one = prompts[place], end = (row) => (row[4] === false ? " ▮ cut off" : "");
  const rows = run.objectives.flatMap((objective) => one.said
    .filter(([label, own]) => label === objective.label && (own === null || own === seed))
    .map((row, number_, own) => el("tr", { class: number_ === 0 ? "first" : null },
      number_ === 0 ? el("th", { scope: "rowgroup", rowspan: own.length }, swatch(objective.colours), objective.name) : null,
      el("td", { class: "n" }, iterationName(row[2])), el("td", { class: "text wide-cell" }, row[3] === "" ? "(nothing)" : row[3], el("span", { class: "alarm" }, end(row))),
      el("td", { class: "n" }, row[5] === null ? DASH : number(row[5])))));
  const caption = `Prompt ${place + 1} of ${prompts.length} kept, seed ${seed}: every player's response, one sample each. Log-probability of the response under its player, nats, summed. From probe/samples.jsonl.`;
  return [...head, el("dl", { class: "sample" }, el("dt", null, "prompt"), el("dd", { class: "text" }, one.prompt), el("dt", null, "real response"), el("dd", { class: "text" }, one.real)),
    table(caption, ["objective", "iteration", "response", "log-prob."], rows)];
}
