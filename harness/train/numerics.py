"""How far two computations of one number may differ by rounding: every tolerance, by precision of the base, with its reason.

Log-probabilities are in nats. Half precision rounds differently for every shape of a batch; float16 eight times finer than
bfloat16. A base in 4 or 8 bits counts as bfloat16.
"""

from __future__ import annotations

# Of training and scoring with model.arithmetic = "bfloat16 products", beside the precisions of a base.
BFLOAT16_PRODUCTS = "bfloat16 products"

# Per token, between two batches of different shape through the same weights: the layouts compared when a model is loaded.
# Inputs rounded to bfloat16 differ between two batches by a whole rounding where float32 sums differ in their last bit, so
# bfloat16 products agree no better than bfloat16 (SmolLM2-135M: up to 0.021; the lab's base: 0.0011).
SAME_WEIGHTS = {"float64": 1e-9, "float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2, BFLOAT16_PRODUCTS: 5e-2}

# Per root of the number of tokens, the log-ratio of a response before the first update: rounding errors of tokens are
# independent, so a response of three tokens may be off by more per token than one of 200. SmolLM2-135M in bfloat16 products,
# 256 responses of 2 to 97 tokens: standard deviation 0.025, largest 0.11; in other batches three tokens were off by 0.081 each,
# 0.14 per root. A wrong adapter, template or mask and active dropout make tenths of a nat in every token.
BEFORE_FIRST_UPDATE = {"float64": 1e-9, "float32": 1e-4, "bfloat16": 0.25, "float16": 3e-2, BFLOAT16_PRODUCTS: 0.25}

# Per token, above which a model is refused: no layout or sampler is within rounding of a plain forward pass.
UNSUPPORTED_MODEL = {"float64": 1e-5, "float32": 1e-3, "bfloat16": 2e-1, "float16": 5e-2}

# Per token, by which what follows a token may change its distribution: the same passes on the same tokens, so less in float32.
LOOKAHEAD = UNSUPPORTED_MODEL | {"float32": 1e-4}

# Per token, between vLLM and the policy. 0.03 (bfloat16) and 0.002 (float32) were measured as root mean square of single tokens
# between two engines (ServiceNow/Fast-LLM#525), and responses may be one token long.
TWO_ENGINES = {"bfloat16": 5e-2, "float16": 1e-2, "float32": 5e-3}

# A log-probability cached while sampling and the scored one: (per token, per response). Above it the response is not the
# opponent's own. Single tokens differ by less than between two engines.
CACHED_LOGP = {
    "bfloat16": (5e-2, 5e-1), "float16": (1e-2, 1e-1), "float32": (1e-3, 1e-2), "float64": (1e-3, 1e-2),
    BFLOAT16_PRODUCTS: (5e-2, 5e-1),
}  # fmt: skip

# Per token as a root mean square, up to which cached log-probabilities are used in place of scoring: a fifth of SAME_WEIGHTS, so
# that the first batch of training finds its references within that. Sampler and scorer round the network differently (0.6e-6 nats
# on the lab, 4e-6 with 30 layers of width 576, in float32). Over 100 tokens 2e-5 add up to 2e-4 nats, and in a loss, times a beta
# of 0.1, to 2e-5. Half precision never gets there: it is scored, by the passes that training compares with.
CACHED_LOGP_USED = {"float64": 2e-10, "float32": 2e-5, "bfloat16": 2e-5, "float16": 2e-5, BFLOAT16_PRODUCTS: 2e-5}
