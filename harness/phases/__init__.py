"""The four phases of an iteration, and the probe; each a function from finished inputs to what is written."""
