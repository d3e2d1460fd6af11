"""The ten skills of the lab, one for each task of a ten-task benchmark."""

from __future__ import annotations

from collections.abc import Sequence

from harness.lab.chosen import Facts, TenOptions
from harness.lab.generated import Algebra, Arithmetic, Format
from harness.lab.reasoning import Logic, Mystery
from harness.lab.sentences import Continuation, Misconceptions, Pronouns
from harness.lab.skill import Skill

SKILLS: Sequence[Skill] = (
    Arithmetic(),
    Algebra(),
    Format(),
    Misconceptions(),
    Facts(),
    TenOptions(),
    Continuation(),
    Pronouns(),
    Logic(),
    Mystery(),
)
SKILL_OF_NAME = {skill.name: skill for skill in SKILLS}
