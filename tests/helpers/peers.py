"""lm-eval's own model over the same policy, and what a comparison with it says."""

import harness.language.benchmark.lm
from harness.language.benchmark.lm import HFLM
from harness.language.benchmark.lm_eval_benchmark import evaluate
from tests.conftest import randomize_adapter


def quiet(_):
    return None


def theirs(policy, columns, rows, encodings, *rest):
    """lm-eval's own model over the same policy, without its bars."""

    class Quiet(HFLM):
        def loglikelihood(self, requests, disable_tqdm=True):
            return super().loglikelihood(requests, disable_tqdm=True)

        def generate_until(self, requests, disable_tqdm=True):
            return super().generate_until(requests, disable_tqdm=True)

    return Quiet(
        pretrained=policy.model, tokenizer=policy.tokenizer, backend="causal", batch_size=rows, max_length=policy.context_length
    )


def compared(policy, board, monkeypatch):
    """(largest difference of a log-probability, its number of comparisons, texts compared); all else must be equal."""
    ours = evaluate(policy, board, 4096, 64, quiet)
    with monkeypatch.context() as patched:
        patched.setattr(harness.language.benchmark.lm, "as_lm", theirs)
        expected = evaluate(policy, board, 4096, 64, quiet)
    assert ours.prompt_hash == expected.prompt_hash
    worst, numbers, texts = 0.0, 0, 0
    for task, samples in expected.samples.items():
        for one, other in zip(ours.samples[task], samples, strict=True):
            assert one["doc_id"] == other["doc_id"]
            for mine, wanted in zip(one["resps"], other["resps"], strict=True):
                if isinstance(wanted[0], str):
                    assert mine == wanted
                    texts += 1
                else:
                    assert mine[0][1] == wanted[0][1], f"{task}: greedy"
                    worst = max(worst, abs(float(mine[0][0]) - float(wanted[0][0])))
                    numbers += 1
    assert [(r.task, r.value, r.stderr, r.n) for r in ours.records] == [
        (r.task, r.value, r.stderr, r.n) for r in expected.records
    ]
    return worst, numbers, texts


def lab_policy_with_adapter():
    """The lab's base as a player that is not the base."""
    from harness.config import load_config
    from harness.language.model.loading import load_policy

    config = load_config("lab")
    policy = load_policy(config.model, config.lora, config.data.template)
    policy.reset_adapter(0)
    randomize_adapter(policy.adapter_parameters(), std=0.01)
    return policy
