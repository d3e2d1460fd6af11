// Numbers as the report prints them.

const MINUS = "\u2212", DASH = "\u2013";

// One decimal; of two that are equally near (an odd number of quarters: other ties are no binary numbers) the even one, as Python.
function oneDecimal(value) {
  const tie = (4 * Math.abs(value)) % 2 === 1;
  return tie ? ((Math.sign(value) * 2 * Math.round(5 * Math.abs(value))) / 10).toFixed(1) : value.toFixed(1);
}

function number(value, unit) {
  if (value === null || value === undefined) return DASH;
  const text = unit === "%" ? oneDecimal(100 * value) : String(Number(value.toPrecision(Math.abs(value) >= 1000 ? 4 : 3)));
  return text.replace("-", MINUS);
}

const signed = (value, unit) => (value > 0 ? "+" : "") + number(Math.abs(value) < 1e-12 ? 0 : value, unit);

// A row of a metric: value with its interval, or its error, or alone.
function withError(row, unit) {
  if (!row) return DASH;
  const [, , , value, low, high, stderr] = row;
  if (low !== null) return `${number(value, unit)} [${number(low, unit)}, ${number(high, unit)}]`;
  return stderr ? `${number(value, unit)} ± ${number(stderr, unit)}` : number(value, unit);
}

// Three decimals, or as many as keep it on its side of a level.
function pValue(p) {
  if (p === null || p === undefined) return DASH;
  if (p < 0.001) return "< .001";
  let digits = 3;
  while ([0.05, 0.01].some((level) => p < level !== Number(p.toFixed(digits)) < level)) digits++;
  return p.toFixed(digits).replace(/^0/, "");
}

const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
