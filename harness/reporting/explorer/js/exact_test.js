// Are two players equally often right? The exact test over the items on which they differ.

// sums: per cluster of items, the sum of (B - A) over its items and the seeds. Each keeps its size and has a fair coin for its
// sign (McNemar's exact test where every item is its own cluster; Durkalski et al. 2003 else). Two-sided p; as harness/analysis.
function exactTest(sums) {
  const sizes = sums.map(Math.abs).filter((size) => size > 0);
  const total = sizes.reduce((a, b) => a + b, 0);
  let chances = new Float64Array(2 * total + 1); // of a signed sum from -total to total
  chances[total] = 1;
  let reach = 0;
  for (const size of sizes) {
    const next = new Float64Array(2 * total + 1);
    for (let sum = -reach; sum <= reach; sum++) {
      const half = chances[total + sum] / 2;
      if (half) { next[total + sum - size] += half; next[total + sum + size] += half; }
    }
    chances = next;
    reach += size;
  }
  const seen = Math.abs(sums.reduce((a, b) => a + b, 0));
  let p = 0;
  for (let sum = -total; sum <= total; sum++) if (Math.abs(sum) >= seen) p += chances[total + sum];
  return Math.min(1, p);
}

// B against A on every task, remembered until other players are compared: a search asks for it at every key.
let paired = { key: "", pairs: new Map() };

function pairAll(a, b, seeds) {
  const key = [runs.indexOf(a.run), runs.indexOf(b.run), sideKey(a), sideKey(b), ...seeds].join(" ");
  if (paired.key !== key) paired = { key, pairs: new Map(a.run.tasks.map((task) => [task.name, pairTask(a, b, task.name, seeds)])) };
  return paired.pairs;
}

// On one task: gained and lost, counted over items and seeds, and every such case, by item, then by seed.
function pairTask(a, b, name, seeds) {
  const taskA = a.run.task.get(name), taskB = b.run.task.get(name);
  if (!taskA || !taskB || !hasItems(taskA) || taskA.digest !== taskB.digest || !seeds.length) return null;
  const sums = new Map(), cases = [];
  let gained = 0, lost = 0;
  const players = seeds.map((seed) => [playerOf(a, seed), playerOf(b, seed), seed]);
  for (let item = 0; item < taskA.n; item++) {
    for (const [playerA, playerB, seed] of players) {
      const valueA = valueOf(taskA, playerA, item), valueB = valueOf(taskB, playerB, item);
      const difference = (valueB - valueA) * (taskA.up ? 1 : -1);
      if (difference > 0) gained++;
      if (difference < 0) lost++;
      const cluster = taskA.clusters ? taskA.clusters[item] : item;
      sums.set(cluster, (sums.get(cluster) || 0) + difference);
      cases.push({ name, item, seed, playerA, playerB, kind: kindOf(difference, valueA, taskA) });
    }
  }
  const tested = taskA.bits && taskB.bits && !taskA.parts;
  return { gained, lost, n: taskA.n, clusters: sums.size, cases, p: tested ? exactTest([...sums.values()]) : null };
}

const kindOf = (difference, value, task) => (difference > 0 ? "gained" : difference < 0 ? "lost" : !task.bits ? "same" : value ? "right" : "wrong");
