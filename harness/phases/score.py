"""The opponent's log-probability of every response in this iteration's training set, computed once. Never sees a loss."""

from __future__ import annotations

from collections.abc import Sequence

from harness.policy import Policy, Row
from harness.progress import Advance
from harness.records import Group, Role, Score


def score(policy: Policy, groups: Sequence[Group], batch_size: int, advance: Advance) -> list[Score]:
    """One Score per response of every group, in nats over its tokens, under the player in `policy`'s slot.

    Because these are stored, training holds one model, and the reference can neither drift nor be the wrong adapter.
    """
    rows: list[Row] = []
    keys: list[tuple[Group, Role, int]] = []
    for group in groups:
        seen: dict[Role, int] = {}
        for role, response in group.responses():
            keys.append((group, role, seen.get(role, 0)))
            seen[role] = seen.get(role, 0) + 1
            rows.append(Row(group.prompt_ids, response.token_ids))
    values = policy.score(rows, batch_size, advance)
    return [
        Score(group.example_id, role, group.iteration, index, len(row.response_ids), value)
        for (group, role, index), row, value in zip(keys, rows, values, strict=True)
    ]
