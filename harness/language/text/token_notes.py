"""What a user should see of how text becomes tokens, before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.language.data.dataset import DROPPED_COUNTS
from harness.language.policy import Policy
from harness.language.text.templates import end_token_ids, writes_date
from harness.language.text.tokens import control_tokens


def tokenization_notes(counts: Mapping[str, int], policy: Policy) -> Iterator[str]:
    """One line each: the seam over the data, rows that quote control tokens, a date in the template, ends that differ.

    counts: of `Dataset`.
    """
    template, tokenizer = policy.template, policy.tokenizer
    to_token = tokenizer.convert_ids_to_tokens
    num_dropped = sum(counts.get(reason, 0) for reason in DROPPED_COUNTS)
    num_pairs = counts["rows"] + counts.get("heldout_rows", 0) - num_dropped
    num_shifted = counts.get("seam_moved", 0) + counts.get("heldout_seam_moved", 0)
    seam = f"{template.seam_offset} character(s) before the prompt's end" if template.seam_offset else "at the prompt's end"
    if num_shifted:
        seam += f"; in {num_shifted} rows earlier, where the tokenizer joins the response's first characters with the prompt"
    yield (
        f"tokens: template {template.kind!r}; prompt and response tokenised as one text, seam {seam}; "
        f"{num_pairs} pairs checked; a response ends in {to_token(template.end_token_id)!r}, sampling stops at "
        f"{', '.join(repr(to_token(i) or i) for i in sorted(template.stop_ids))}"
    )
    num_quoted = counts.get("control_text", 0) + counts.get("heldout_control_text", 0)
    if num_quoted:
        yield (
            f"tokens: {num_quoted} rows hold text that looks like a control token; in training it is tokenised as the text it "
            "is, in the documents of an evaluation lm-eval reads it as the token"
        )
    if writes_date(tokenizer, template.arguments):
        yield "tokens: the chat template writes a date into every prompt; it stays the date on which the run began"
    model_end_ids = end_token_ids(getattr(policy.model, "generation_config", None)) | {tokenizer.eos_token_id}
    if template.kind == "chat" and template.end_token_id not in model_end_ids:
        yield (
            f"tokens: a task in the chat template is answered up to {to_token(template.end_token_id)!r}, the end of the turn; "
            f"lm-eval's own model would go on to {', '.join(repr(to_token(i) or i) for i in sorted(model_end_ids))}"
        )
    _, suffix_ids = control_tokens(tokenizer).added_ids
    if suffix_ids:
        yield (
            f"tokens: the tokenizer writes {' '.join(map(repr, to_token(suffix_ids)))} behind every text by itself; a prompt in "
            "training goes without, lm-eval's own prompts keep it"
        )
