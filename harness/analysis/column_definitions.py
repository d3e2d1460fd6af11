"""The definitions of the data dictionary (columns.py), one entry per csv file that a run writes."""

from __future__ import annotations

from harness.analysis.columns import AS_SUITE, HIGHER, LOWER, TEXT, Column, Measurement, TableFile, suffixed, with_bounds

SHARE, NATS, COUNT, SCORE = "share of 1", "nats per response", "count", "the task's own (accuracies: share of 1)"
OVER_SEEDS = "over seeds, on these items; from three seeds on"
OVER_BOTH = "over test items and seeds; from three seeds and five items a task on"
BONFERRONI = "Bonferroni's, valid for the choice of the best among all iterations"
OVER_PAIRS = "paired, over test items, from three seeds on over items and seeds"
P = "probability, two-sided; 1: no difference can be told"

OBJECTIVE = Column("objective", "label of the variant; `initial` is the untouched policy", TEXT)
SEED = Column("seed", "seed of training; empty for the initial policy", "number")
ITERATION = Column("iteration", "-1 is the initial policy, 0 the first trained one", "number")
KEYS = (OBJECTIVE, SEED, ITERATION)
SOURCE = Column("source", "file or folder of the run that the row is made from", TEXT)
TASK = Column("task", "row of the suite, by the name of lm-eval's task or group", TEXT)
LABEL = Column("label", "short name of the task, as in figures and printed tables", TEXT)
SEEDS = Column("seeds", "seeds included; those that have not finished this are left out", COUNT)
NAME = Column("name", "which number the row holds, see below", TEXT)
NAME_OF_PART = Column("name", "the library, or the part of the machine", TEXT)
UNIT = Column("unit", "unit of `value`", TEXT)
OVER = Column("over", "what the interval is over: `seeds`, `items`, `items and seeds`; empty without one", TEXT)
PANEL = Column("panel", "group of variants that are compared with each other; a study's, else empty", TEXT)
QUESTION = Column("question", "the question of a study's contrast; empty for the pairs of a panel", TEXT)
SIDES = (Column("a", "label of the first model", TEXT),
         Column("iteration_a", "its iteration, -1 for the initial policy", "number"),
         Column("b", "label of the second model", TEXT), Column("iteration_b", "its iteration, likewise", "number"))  # fmt: skip


def ends(of: str, over: str, unit: str = "as `value`") -> tuple[Column, Column]:
    """The columns `low` and `high` of a file with one interval."""
    low = Column("low", f"lower end of the 95 % interval of `{of}`, {over}; empty where there is none", unit)
    return low, Column("high", "upper end of that interval", unit)


CURVE_NAMES = (
    Measurement("best_iteration", "iteration with the best score of the curve; the first of several", "iteration"),
    Measurement("best", "the best score", "score", HIGHER),
    Measurement("last", "the score at the last iteration", "score", HIGHER),
    Measurement("drop", "best minus last", "score", LOWER),
    Measurement("largest_fall", "the largest loss from one iteration to the next; 0 if there is none", "score", LOWER),
    Measurement("falls", "number of iterations that lost", "iterations", LOWER),
    Measurement("area_lost", "running best minus score, mean over iterations", "score", LOWER),
)
CHURN = Measurement(
    "churn", "test items whose score changed since the iteration before, mean over tasks", "share of items", LOWER
)
DIAGNOSTICS = (
    Measurement("heldout_nll_per_token", "minus log-probability of the real held-out responses", "nats per token", LOWER),
    Measurement("entropy_per_token", "minus log-probability of the checkpoint's own responses", "nats per token"),
    Measurement("response_length", "length of the checkpoint's responses, end token included", "tokens"),
    Measurement("truncation_rate", "responses that did not end within the longest allowed", "share of responses", LOWER),
    Measurement("distinct_2",
                "different token pairs among all of the responses (arXiv:1510.03055); n counts pairs", "share of bigrams"),
    Measurement("repetition",
                "token pairs that occurred earlier in their response (arXiv:1908.04319)", "share of bigrams", LOWER),
    Measurement("kl_initial", "KL(checkpoint || initial policy), on the checkpoint's responses", NATS),
    Measurement("kl_initial_policy", "KL(initial policy || checkpoint), on the initial policy's responses", NATS),
    Measurement("kl_previous", "KL(checkpoint || the one before), on the checkpoint's responses", NATS),
    Measurement("kl_previous_policy", "KL(the one before || checkpoint), on the earlier one's responses", NATS),
    Measurement("reward_margin", "log-ratio to the opponent, of the real response minus of the opponent's", NATS),
    Measurement("reward_agreement",
                "prompts whose better-rewarded response is the likelier one (arXiv:2601.08198)", "share of prompts"),
    Measurement("kl_data_policy", "KL(data || checkpoint), where the data's distribution is known; at most", NATS, LOWER),
    Measurement("kl_policy_data", "KL(checkpoint || data), where the data's distribution is known; at least", NATS, LOWER),
)  # fmt: skip

STABILITY_COLUMNS = (
    OBJECTIVE, Column("seed", "the curve's seed; empty in the row over seeds", "number"),
    Column("iterations", "trained iterations of the curve, up to its first missing one", COUNT), NAME,
    Column("value", "the number; in the row over seeds their mean", "`unit`", direction="see below"),
    *ends("value", "over what `over` says: `last` items and seeds, all others seeds, on these items; from three seeds on"),
    OVER, SEEDS, UNIT, SOURCE,
)  # fmt: skip
SIDE_COSTS = (
    Column("tokens_trained", "tokens trained, prompts included", "tokens per seed", direction=LOWER),
    Column("tokens_drawn", "tokens generated", "tokens per seed", direction=LOWER),
    Column("tokens_scored", "response tokens scored", "tokens per seed", direction=LOWER),
    Column("token_passes", "all three in forward passes, a trained token counts three", "tokens per seed", direction=LOWER),
    Column("seconds", "time of generation, scoring and training", "seconds per seed", direction=LOWER),
)
ROLES = {"real": "real", "synthetic": "opponent's", "proto": "initial policy's (proto)"}

TABLE_FILES = (
    TableFile("scores.csv", "One row per checkpoint and task of the suite.", (
        *KEYS, TASK, LABEL,
        Column("metric", "lm-eval's metric, or that of a judged suite", TEXT),
        Column("filter", "lm-eval's filter of the responses", TEXT),
        Column("value", "the score", SCORE, direction=AS_SUITE),
        Column("stderr", "standard error of `value` from sampling test items; robust to clusters of items", SCORE),
        Column("n", "test items", COUNT),
        Column("clusters", "clusters of items that share a question; empty where it is not known", COUNT),
        Column("shots", "few-shot examples in the prompt", COUNT),
        Column("chance", "score of guessing", SCORE),
        Column("task_version", "lm-eval's version of the task", TEXT),
        Column("suite", "name and version of the suite", TEXT), SOURCE,
    )),
    TableFile("training.csv", "One row per optimizer step. Columns of a role that an objective does not use are empty.", (
        *KEYS, Column("step", "optimizer step of the iteration, from 0", "number"),
        Column("epoch", "pass over the training set, from 0", "number"),
        Column("loss", "the objective's loss, weighted mean over the step's prompts", "the objective's own", direction=LOWER),
        Column("grad_norm", "norm of the gradient before it is scaled down to training.max_grad_norm", "the loss's per weight"),
        Column("lr", "learning rate of the step", "number"),
        *(Column(f"logp_{role}", f"log-probability of the {words} responses in training, mean over the step", NATS)
          for role, words in ROLES.items()),
        *(Column(f"log_ratio_{role}", f"log-ratio of the policy in training to the opponent, of the {words} responses", NATS)
          for role, words in ROLES.items()),
        Column("metric_<name>",
               "a metric of the objective's own, mean over the step's prompts: `metrics` of its loss", "the objective's own"),
        Column("tokens", "tokens that went through training, prompts included", "tokens"),
        Column("seconds", "time of the step", "seconds", direction=LOWER),
    )),
    TableFile("dynamics.csv", "One row per checkpoint and measurement on held-out prompts, the same for all checkpoints.", (
        *KEYS, NAME, Column("value", "the measurement", "`unit`", direction="see below"),
        Column("stderr", "standard error of `value` over prompts; empty where there is no estimate", "as `value`"),
        Column("n", "prompts; for `distinct_2` pairs of tokens", COUNT), UNIT, SOURCE,
    ), names=DIAGNOSTICS),
    TableFile("tables/leaderboard.csv", "One row per objective and iteration.", (
        OBJECTIVE, ITERATION, SEEDS,
        Column("<task>", "score of the task that the column is named after, mean over seeds", SCORE, direction=AS_SUITE),
        *with_bounds(Column("mean", "plain mean over the tasks that enter it, and over seeds", SHARE, OVER_BOTH, HIGHER)),
        Column("item_stderr", "standard error of `mean` from sampling test items", SHARE),
        Column("seed_sd", "standard deviation of the mean over seeds; empty for one seed", SHARE),
        Column("normalised_mean", "mean with chance at 0 and the maximum at 1", SHARE, direction=HIGHER),
        Column("interquartile_mean",
               "mean of the middle half of the scores of all seeds and tasks (arXiv:2108.13264)", SHARE, direction=HIGHER),
        Column("best", "whether it is the objective's best trained iteration", "True or False"), SOURCE,
    )),
    TableFile("tables/stability.csv", "The curve of means of every objective: a row per number and seed, then one over seeds.",
              STABILITY_COLUMNS, names=(*CURVE_NAMES, CHURN)),
    TableFile("tables/beside.csv",
              "As stability.csv for every task that does not enter the mean: what was lost is a rise where lower is better.", (
        TASK, Column("higher_is_better", "direction of the task", "True or False"), *STABILITY_COLUMNS,
    ), "runs whose suite has such a task", CURVE_NAMES),
    TableFile("tables/drift.csv", "dynamics.csv and churn over seeds: one row per objective, iteration and measurement.", (
        OBJECTIVE, ITERATION, NAME, Column("value", "the measurement, mean over seeds", "`unit`", direction="see below"),
        *ends("value", "over seeds, on the same prompts; from three seeds on"),
        Column("stderr", "standard error over prompts, of a single seed alone", "as `value`"), SEEDS,
        Column("n", "prompts, or test items for `churn`", COUNT), UNIT, SOURCE,
    ), names=(*DIAGNOSTICS, CHURN)),
    TableFile("tables/comparisons.csv",
              "Two models on the same items: a row for the mean, then one per task. Differences are a minus b.", (
        PANEL, QUESTION, *SIDES, Column("task", "`mean`: the plain mean over the tasks that enter it; else the task", TEXT),
        Column("difference", "a minus b", "of `mean`: share of 1; of a task: its own", direction=AS_SUITE),
        *ends("difference", OVER_PAIRS, "as `difference`"),
        Column("p", "p of Student's t test that the true difference is 0; at least that of a sign test", P),
        Column("p_holm", "p adjusted (Holm) over the panel's pairs for the mean, over the pair's tasks for a task", P),
        Column("mcnemar_p", "exact p of McNemar's test over items; of right and wrong answers, below three seeds", P),
        Column("mcnemar_p_holm", "the same adjusted (Holm) over the pair's tasks", P),
        Column("probability_of_improvement",
               "probability that a seed of a beats one of b (arXiv:2108.13264)", "probability", direction=HIGHER),
        SEEDS, Column("items", "test items that are paired", COUNT), Column("clusters", "clusters of these items", COUNT),
        Column("over", "sources of error in the interval: `items`, or `items and seeds`", TEXT), SOURCE,
    )),
    TableFile("tables/standing.csv", "One row per panel and objective: where it ends, with uncertainty.", (
        PANEL, OBJECTIVE, SEEDS, Column("best_iteration", "iteration with the best mean; the first of several", "iteration"),
        *with_bounds(Column("best", "mean over tasks there", SHARE, f"{OVER_BOTH}; {BONFERRONI}", HIGHER)),
        Column("best_item_stderr", "standard error of `best` from sampling test items", SHARE),
        *with_bounds(Column("last", "mean over tasks at the last iteration", SHARE, OVER_BOTH, HIGHER)),
        Column("last_item_stderr", "standard error of `last` from sampling test items", SHARE),
        *with_bounds(
            Column("since_best", "last minus best, where the best is earlier", SHARE, f"{OVER_PAIRS}; {BONFERRONI}", HIGHER),
            Column("drop", "best minus last, mean over seeds", SHARE, OVER_SEEDS, LOWER),
            Column("largest_fall", "largest loss from one iteration to the next", SHARE, OVER_SEEDS, LOWER),
            Column("falls", "iterations that lost", "iterations", OVER_SEEDS, LOWER),
            Column("area_lost", "running best minus mean, averaged over iterations", SHARE, OVER_SEEDS, LOWER),
            Column("churn", "items whose score changed between iterations", "share of items", OVER_SEEDS, LOWER),
            Column("gain", "last minus the initial policy", SHARE, OVER_PAIRS, HIGHER),
        ),
        Column("since_best_p", "p of `since_best`, for the choice among all iterations (Bonferroni)", P),
        Column("gain_p_holm", "p of `gain`, adjusted (Holm) over the panel's pairs", P),
        Column("leader", "whether it has the highest mean at the last iteration", "True or False"),
        Column("behind_leader_p_holm", "p of the difference to the leader, adjusted (Holm); empty for leaders", P),
        Column("chance_best", "probability of the highest true mean at the last iteration", "probability", direction=HIGHER),
        SOURCE,
    )),
    TableFile("tables/collapse.csv", "Findings of the collapse detector; no row where there is none.", (
        *KEYS, Column("finding", "the rule that applies", TEXT), Column("evidence", "its evidence in words", TEXT),
        Column("value", "the number that the rule looks at", "the rule's"),
        Column("bound", "the bound that it passed", "the rule's"),
        SOURCE,
    )),
    TableFile("tables/task_notes.csv", "Tasks that say little, or fell: findings about the start and the last iteration.", (
        OBJECTIVE, ITERATION, SEEDS, TASK, LABEL, Column("note", "`constant`, `full`, `at chance` or `falling`", TEXT),
        Column("evidence", "its evidence in words", TEXT), Column("value", "the number that the note is about", SHARE),
        Column("bound", "the bound that it passed", SHARE), SOURCE,
    )),
    TableFile("tables/cost.csv", "One row per checkpoint and phase.", (
        *KEYS, Column("phase", "generate, score, train, evaluate, probe, or another of the world's", TEXT),
        Column("tokens", "tokens that went through the model; empty where none are counted", "tokens", direction=LOWER),
        Column("responses", "responses generated or scored", COUNT),
        Column("truncated", "responses cut off at the longest allowed", COUNT),
        Column("shared", "whether it is a part of samples that were generated once for several objectives", "True or False"),
        Column("step0",
               "largest |log-ratio| per token before the first update, which should be 0", "nats per token", direction=LOWER),
        Column("seconds", "time of the phase", "seconds", direction=LOWER),
        Column("peak_memory_gib", "peak memory, of the device where there is one, else of the process", "GiB", direction=LOWER),
        SOURCE,
    )),
    TableFile("tables/cost_total.csv", "cost.csv summed over seeds and iterations: one row per objective and phase.", (
        OBJECTIVE, Column("phase", "as in cost.csv", TEXT), Column("phases", "number of phases summed", COUNT),
        Column("tokens", "tokens in all; empty where none are counted", "tokens", direction=LOWER),
        Column("seconds", "time in all", "seconds", direction=LOWER),
        Column("peak_memory_gib", "the highest peak memory", "GiB", direction=LOWER), SOURCE,
    )),
    TableFile("tables/versions.csv", "Versions of libraries, and parts of the machine, that phases were made with.", (
        NAME_OF_PART, Column("version", "its version; empty where there is no record", TEXT),
        Column("phases", "finished phases made with it", COUNT), Column("of", "finished phases in all", COUNT),
        Column("where", "the fewest folders that cover exactly these; `.` for all", TEXT), SOURCE,
    )),
    TableFile("tables/first_ids.csv",
              "How well the first token ids alone tell real from synthetic responses: one row per set of samples and depth.", (
        OBJECTIVE, SEED, Column("iteration", "iteration that the samples are trained on", "number"),
        Column("depth", "first ids that are looked at", COUNT), Column("n", "responses of each kind", COUNT),
        Column("accuracy",
               "accuracy of the best classifier that knows these ids alone; 0.5 for one distribution", SHARE, direction=LOWER),
        Column("halves", "the same between random halves of the real responses, mean", SHARE),
        Column("halves_high", "the same, largest over the random halves", SHARE),
        Column("telling", "whether accuracy is above every one of the halves", "True or False"),
        Column("told_by", "the ids whose shares differ most, as text", TEXT),
        Column("real_share", "real responses that begin so", SHARE),
        Column("synthetic_share", "synthetic responses that begin so", SHARE),
        SOURCE,
    ), "runs that generate responses"),
    TableFile("tables/study.csv", "A study's arms side by side; `<t>` is an iteration that the study shows, or the last.", (
        OBJECTIVE, Column("note", "what the arm stands for", TEXT), Column("pairs", "pairs trained on; empty: all", COUNT),
        *suffixed((
            *with_bounds(Column("mean", "mean over tasks and seeds", SHARE, OVER_BOTH, HIGHER)),
            Column("item_stderr", "standard error of the mean from sampling test items", SHARE), SEEDS,
        ), "iteration_<t>", " at that iteration"),
        *(Column(f"tokens_{phase}", f"tokens of the phase {phase}, all iterations", "tokens per seed", direction=LOWER)
          for phase in ("generate", "score", "train")),
        Column("token_passes", "all three in forward passes, a trained token counts three", "tokens per seed", direction=LOWER),
        Column("seconds", "time of all phases but evaluation and diagnostics", "seconds per seed", direction=LOWER), SOURCE,
    ), "studies with arms"),
    TableFile("tables/compute.csv", "The cost of both sides of a study's contrasts, up to their iteration.", (
        QUESTION, *SIDES, SEEDS, *suffixed(SIDE_COSTS, "a", ", of a"), *suffixed(SIDE_COSTS, "b", ", of b"),
        Column("token_passes_ratio", "token passes of a through those of b", "ratio"),
        Column("seconds_ratio", "seconds of a through those of b", "ratio"), SOURCE,
    ), "studies with contrasts"),
    TableFile("tables/chosen.csv", "Settings that a study tried on its validation suite, and which it chose.", (
        Column("objective", "the objective, without the setting", TEXT), Column("key", "the setting that is chosen", TEXT),
        Column("value", "its value in this row", "the setting's"), Column("label", "label of the variant with it", TEXT),
        Column("suite", "the validation suite", TEXT), Column("seeds", "seeds of the study", COUNT),
        Column("validation_last", "mean over tasks at the last iteration, on the validation suite", SHARE, direction=HIGHER),
        Column("validation_best", "the same at the best iteration", SHARE, direction=HIGHER),
        Column("item_stderr_last", "standard error of `validation_last` from sampling test items", SHARE),
        Column("chosen", "whether this value was chosen", "True or False"),
        Column("at_edge", "whether it is chosen and the smallest or largest tried", "True or False"),
    ), "studies that choose a setting"),
)  # fmt: skip

# tables that Python code is given and that are no files of a run: harness/analysis/long_tables.py
FRAMES = (
    TableFile("samples", "Every checkpoint's responses to the same held-out prompts.", (
        *KEYS, Column("example_id", "the held-out example", TEXT), Column("prompt", "its prompt", TEXT),
        Column("real", "its annotated response", TEXT), Column("text", "the checkpoint's response", TEXT),
        Column("finished", "whether the response ended by itself", "True or False"),
        Column("tokens", "length of the response, end token included", "tokens"),
        Column("logp", "log-probability of the response under the checkpoint", NATS),
        Column("real_logp", "log-probability of the annotated response under the checkpoint", NATS, direction=HIGHER),
    ), "the first forty prompts where only the small files of a run are there"),
    TableFile("items", "One row per checkpoint, task and test item.", (
        *KEYS, TASK, Column("item", "place of the item in the task, from 0", "number"),
        Column("value", "the item's score", SCORE, direction=AS_SUITE),
        Column("cluster", "number of the cluster of items that share a question; missing: every item its own", "number"),
        Column("prediction", "number of the predicted text: equal texts of a task and checkpoint have one number", "number"),
    ), "tasks whose score is made of items"),
)  # fmt: skip
