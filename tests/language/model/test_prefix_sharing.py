"""Clusters of prompts that begin alike: what is shared is really shared, and sharing is the best that can be had."""

import random

from harness.language.model.prefix_sharing import PrefixGroup, group_by_prefix


def test_the_questions_of_two_tasks_share_their_own_few_shot_prompts():
    """Two tasks begin alike with 3 tokens; each has 20 more of its own. Apart: 2 * (3 * 23 - 10) = 118 > 7 * 3 - 10 = 11."""
    head = [1, 2, 3]
    one, other = [*head, *range(100, 120)], [*head, *range(200, 220)]
    prompts = [[*one, 900 + i] for i in range(4)] + [[*other, 900 + i] for i in range(4)]
    clusters = group_by_prefix(prompts, min_tokens_saved=10)
    assert sorted((c.length, sorted(c.members)) for c in clusters) == [(23, [0, 1, 2, 3]), (23, [4, 5, 6, 7])]


def test_what_is_not_worth_a_pass_of_its_own_stays_together():
    prompts = [[1, 2, 3, 4, i] for i in range(5)]  # sharing saves 4 * 4 = 16 tokens
    assert group_by_prefix(prompts, min_tokens_saved=16) == [PrefixGroup(0, [0, 1, 2, 3, 4])]
    assert group_by_prefix(prompts, min_tokens_saved=15) == [PrefixGroup(4, [0, 1, 2, 3, 4])]


def test_a_prompt_that_is_the_beginning_of_another_keeps_a_token_of_its_own():
    (cluster,) = group_by_prefix([[5] * 30, [5] * 31, [5] * 40], min_tokens_saved=0)
    assert cluster.length == 29


def test_every_prompt_is_in_one_cluster_and_really_begins_so():
    draw = random.Random(0)
    heads = [[draw.randrange(9) for _ in range(draw.randint(0, 60))] for _ in range(6)]
    prompts = [[*draw.choice(heads), *(draw.randrange(9) for _ in range(draw.randint(1, 9)))] for _ in range(200)]
    for cost in (0, 50, 5000):
        clusters = group_by_prefix(prompts, cost)
        assert sorted(i for c in clusters for i in c.members) == list(range(200))
        for c in clusters:
            assert len({tuple(prompts[i][: c.length]) for i in c.members}) == 1
            assert all(len(prompts[i]) > c.length for i in c.members)
        assert sum((len(c.members) - 1) * c.length - cost for c in clusters if c.length) >= 0
    assert group_by_prefix([], 0) == []
