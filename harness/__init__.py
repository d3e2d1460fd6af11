"""A benchmark harness for self-play fine-tuning objectives."""

__version__ = "0.1.0"
