// The runs of the page: what each asked, who leads, what collapsed, what it was made with.

function viewRuns() {
  const rows = runs.map((run, place) => {
    const t = lastIteration(run), leader = run.leader && run.objective.get(run.leader);
    const open = el("a", { href: address({ view: "grid", run: String(place), a: "", b: "" }) }, run.name);
    const gain = run.comparisons.find((row) => row[0] === run.leader && row[1] === t && isStart(row[2]) && row[4] === "mean");
    return el("tr", null, el("th", { scope: "row" }, open),
      el("td", { class: "question" }, run.question || DASH), el("td", null, `${run.suite.name} v${run.suite.version}`),
      el("td", { class: "n" }, String(run.seeds.length)), el("td", { class: "n" }, String(run.iterations)),
      el("td", null, leader ? [swatch(leader.colours), leader.name] : DASH),
      el("td", { class: "n" }, leader ? withError(metricRow(run, "mean", run.leader, null, t), "%") : DASH),
      el("td", { class: "n" }, gain ? `${signed(gain[5], "%")} [${signed(gain[6], "%")}, ${signed(gain[7], "%")}]` : DASH),
      el("td", { class: "n" }, String(run.findings.length)), el("td", null, el("code", null, run.commit || DASH)), el("td", null, run.date || DASH));
  });
  const caption = "Runs. Highest mean over tasks at the last iteration in percent, and its gain on the start in points, paired, with 95 % interval; " +
    "collapses: findings of the detector, in the grid. From leaderboard.csv, comparisons.csv, collapse.csv.";
  const header = ["run", "question", "suite", "seeds", "iterations", "highest at the last", "mean", "gain on the start", "collapses", "commit", "date"];
  const about = runs.map((run) => el("div", null, el("h3", null, run.name), el("pre", null, run.command.join(" ")), el("p", { class: "note" }, run.note),
    Object.entries(run.failed).map(([trial, error]) => el("p", { class: "alarm" }, `Failed, missing: ${trial}: ${error}`))));
  return [el("h2", null, runs.length > 1 ? "Runs" : "Run"), table(caption, header, rows), about];
}
