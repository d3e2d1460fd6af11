"""lm-eval's own task files over rows made on the spot, asked here and by lm-eval's own transformers model."""
