"""Which device the stand-in computes on."""

import os


class current_platform:  # noqa: N801  # vLLM's own name
    device_type = "cuda" if os.environ.get("HARNESS_TEST_VLLM") == "cuda" else "cpu"
