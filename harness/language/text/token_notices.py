"""What a user should see of how text becomes tokens, before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.language.data.dataset import LEFT_OUT
from harness.language.policy import Policy
from harness.language.text.templates import ending_ids, reads_the_date
from harness.language.text.tokens import control_tokens


def token_notices(counts: Mapping[str, int], policy: Policy) -> Iterator[str]:
    """One line each: the seam over the data, rows that quote control tokens, a date in the template, ends that differ.

    counts: of `Dataset`.
    """
    template, tokenizer = policy.template, policy.tokenizer
    name = tokenizer.convert_ids_to_tokens
    left_out = sum(counts.get(reason, 0) for reason in LEFT_OUT)
    pairs = counts["rows"] + counts.get("heldout_rows", 0) - left_out
    moved = counts.get("seam_moved", 0) + counts.get("heldout_seam_moved", 0)
    where = f"{template.cut} character(s) before the prompt's end" if template.cut else "at the prompt's end"
    rest = (
        f"; in {moved} rows earlier, where the tokenizer joins the response's first characters with the prompt" if moved else ""
    )
    yield (
        f"tokens: template {template.kind!r}; prompt and response tokenised as one text, seam {where}{rest}; "
        f"{pairs} pairs checked; a response ends in {name(template.closing_id)!r}, sampling stops at "
        f"{', '.join(repr(name(i) or i) for i in sorted(template.stop_ids))}"
    )
    quoted = counts.get("control_text", 0) + counts.get("heldout_control_text", 0)
    if quoted:
        yield (
            f"tokens: {quoted} rows hold text that looks like a control token; in training it is tokenised as the text it is, "
            "in the documents of an evaluation lm-eval reads it as the token"
        )
    if reads_the_date(tokenizer, template.arguments):
        yield "tokens: the chat template writes a date into every prompt; it stays that of the run's beginning"
    ends = ending_ids(getattr(policy.model, "generation_config", None)) | {tokenizer.eos_token_id}
    if template.kind == "chat" and template.closing_id not in ends:
        yield (
            f"tokens: a task asked in the chat template is answered up to {name(template.closing_id)!r}, the end of the turn; "
            f"lm-eval's own model would go on to {', '.join(repr(name(i) or i) for i in sorted(ends))}"
        )
    _, behind = control_tokens(tokenizer).added
    if behind:
        yield (
            f"tokens: the tokenizer writes {' '.join(map(repr, name(behind)))} behind every text by itself; a prompt in training "
            "goes without, lm-eval's own prompts keep it"
        )
