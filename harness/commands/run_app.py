"""The command line of what one does with a finished run: prune, sample.

Annotations are no text here, as in `harness/cli.py`.
"""

from typing import Annotated

import typer

from harness.commands.options import DEFAULT_RESULTS, ResultsOption, RunArgument

MirrorOption = Annotated[
    str | None, typer.Option(help="Folder used in place of the hub, for the base model.", envvar="HARNESS_MIRROR")
]
TrustOption = Annotated[
    bool, typer.Option("--trust-remote-code", help="Let the model's repository run its own Python code here, with your rights.")
]
MergedOption = Annotated[
    bool, typer.Option("--merged", help="The whole model too, base with adapter merged, in merged/ beside the adapter.")
]


def add_run_commands(app: typer.Typer) -> None:
    """Add them to the group of all commands."""

    @app.command()
    def prune(
        run: RunArgument,
        yes: Annotated[bool, typer.Option("--yes", help="Delete; without it nothing is.")] = False,
        keep_adapters: Annotated[
            bool,
            typer.Option("--keep-adapters", help="Keep the trained adapters: the run can still be extended, pushed, sampled."),
        ] = False,
        results: ResultsOption = DEFAULT_RESULTS,
    ) -> None:
        """Delete what no table and no report needs: adapters, samples, raw evaluations, half-written attempts."""
        from harness.commands.prune import prune_command

        raise typer.Exit(prune_command(run, results, yes, keep_adapters))

    @app.command()
    def sample(
        run: RunArgument,
        words: Annotated[
            list[str],
            typer.Argument(
                metavar="CHECKPOINT... [PROMPT]",
                help="space@4 (iteration 4), space (the last), space/seed-1@4, initial; several answer side by side. "
                "The prompt comes last; without one it is read from standard input.",
            ),
        ],
        count: Annotated[int, typer.Option("--number", "-n", min=1, max=1000, help="Answers of each.")] = 1,
        seed: Annotated[int, typer.Option(min=0, help="Seed of the draws; the same seed gives the same answers.")] = 0,
        temperature: Annotated[float | None, typer.Option(help="Sampling temperature, above 0; default: the run's.")] = None,
        max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens of an answer; default: the run's.")] = None,
        mirror: MirrorOption = None,
        trust_remote_code: TrustOption = False,
        results: ResultsOption = DEFAULT_RESULTS,
    ) -> None:
        """Let trained checkpoints answer a prompt, in the run's own template and with its generation settings."""
        from harness.commands.sample import SampleOptions, sample_command

        sample_command(run, words, SampleOptions(count, seed, temperature, max_new_tokens, mirror, trust_remote_code), results)
