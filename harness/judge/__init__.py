"""Suites whose answers a judge rates: another language model behind an OpenAI-compatible endpoint."""
