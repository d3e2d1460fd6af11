// What differs between A and B beside their weights: hyper-parameters of two objectives, settings of two runs.

function viewSettings() {
  const a = sideOf("a"), b = sideOf("b");
  const own = (side) => ({ ...(side.run === a.run && side.run === b.run ? {} : side.run.settings), ...side.run.objective.get(side.label).settings });
  const first = own(a), second = own(b), keys = [...new Set([...Object.keys(first), ...Object.keys(second)])];
  const text = (value) => (value === undefined ? DASH : value === null ? "none" : typeof value === "string" ? value : JSON.stringify(value));
  const differing = keys.filter((key) => text(first[key]) !== text(second[key]));
  const shown = state.settings === "all" ? keys : differing;
  const rows = shown.map((key) => el("tr", null, el("th", { scope: "row" }, el("code", null, key)), el("td", { class: "wide-cell" }, text(first[key])), el("td", { class: "wide-cell" }, text(second[key]))));
  const same = a.run === b.run ? " Settings of the run itself are the same for both." : "";
  const both = `${sideName(a)} and ${sideName(b)}`;
  announce(`${plural(differing.length, "setting")} differ`);
  return [el("h2", null, "Settings that differ"), el("div", { class: "fields" }, sideChooser("a", a), sideChooser("b", b),
    button("settings", "Show all", () => change({ settings: state.settings === "all" ? "differing" : "all" }), state.settings === "all")),
    rows.length ? table(`Settings of ${both}: ${differing.length} of ${keys.length} differ.${same} From run.json.`, ["setting", "A", "B"], rows)
      : el("p", null, `No setting differs between ${both}.${same}`)];
}
