// Unpack the data, then show what the address says, now and whenever it changes.

const VIEWS = { answer: "Answer", runs: "Run", grid: "Grid", compare: "Compare", samples: "Samples", settings: "Settings" };
const DRAWN = { runs: viewRuns, grid: viewGrid, compare: viewCompare, samples: viewSamples, settings: viewSettings };

async function unpack() {
  if (typeof DecompressionStream === "undefined") throw new Error("this browser cannot unpack the page's data (no DecompressionStream); use one of 2023 or later");
  const packed = Uint8Array.from(atob(byId("data").textContent.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text()).map(unpackRun);
}

function draw() {
  readState();
  const view = VIEWS[state.view] ? state.view : "answer";
  byId("views").replaceChildren(...Object.entries(VIEWS).map(([name, text]) =>
    el("a", { href: address({ view: name, more: "0", q: "" }) === "#" ? "#view=answer" : address({ view: name, more: "0", q: "" }), "aria-current": name === view ? "page" : null }, name === "runs" && runs.length > 1 ? "Runs" : text)));
  const active = document.activeElement?.id, range = document.activeElement?.selectionStart;
  byId("answer").hidden = view !== "answer";
  byId("view").hidden = view === "answer";
  byId("view").replaceChildren(...(DRAWN[view] ? DRAWN[view]() : []).flat(3).filter(Boolean));
  const again = active && byId(active);
  if (again && again !== document.activeElement) {
    again.focus({ preventScroll: true });
    if (again.type === "search" && typeof range === "number") again.setSelectionRange(range, range);
  }
  document.body.dataset.ready = view;
}

function complain(error) {
  byId("problem").hidden = false;
  byId("problem").textContent = `Only the answer can be shown: ${error.message}.`;
}

unpack().then((found) => {
  runs = found;
  shareItems();
  addEventListener("hashchange", () => { try { draw(); } catch (error) { complain(error); } });
  draw();
}).catch(complain);
