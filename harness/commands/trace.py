"""Command `trace`: follow one example through a run, as text or as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.analysis.trace import UNITS, Trace, TraceLine, trace_example
from harness.commands.console import echo, print_json, print_note
from harness.commands.inspect import check_undamaged
from harness.store.opening import open_run
from harness.store.untrusted import explain_malformed


def trace_command(run: str, example_id: str, results: Path, as_json: bool = False) -> None:
    """Print every use of an example, file by file. Raises UserError first where the run is damaged or the id is not of one."""
    run_folder = open_run(run, results)
    with explain_malformed(run_folder.root):
        check_undamaged(run_folder, run_folder.phases())
        trace = trace_example(run_folder, example_id)
        if as_json:
            print_json(trace.document())
        else:
            _print_trace(trace)


def _print_trace(trace: Trace) -> None:
    echo(f"data/{trace.split}.jsonl  {trace.example_id}\n  prompt   {trace.prompt!r}\n  real     {trace.real!r}")
    for line in trace.lines:
        echo(f"{line.file}  {_describe(line)}")
    if not trace.lines:
        echo("nothing else of it is here")
    for text in trace.not_here:
        print_note(f"not here: {text}")
    kinds = {line.kind for line in trace.lines}
    explained = [*(["response", "log_prob"] if "score" in kinds else []), *(["loss", "log_ratio"] if "step" in kinds else [])]
    if explained:
        echo("")
    for name in explained:
        print_note(f"{name.replace('_', '-')}: {UNITS[name]}")


def _describe(line: TraceLine) -> str:
    fields: Any = line.fields
    if line.kind == "score":
        return f"{fields['response']}  log-prob {fields['log_prob']:.3f} nats, {fields['tokens']} tokens"
    if line.kind == "step":
        used = "".join(f", with the samples of iteration {t}" for t in fields["sample_iterations"])
        ratios = ", ".join(f"{role} {value:+.3f}" for role, value in fields["log_ratio"].items() if value is not None)
        return (
            f"step {fields['step']} (epoch {fields['epoch']}) of {fields['prompts']} prompts, loss {fields['loss']:.4f}"
            + (f", log-ratio {ratios} nats" if ratios else "")
            + used
        )
    return f"{fields['text']!r}" + ("" if fields["finished"] else "  (cut off)")
