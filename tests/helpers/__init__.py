"""What several tests use: stand-ins, tiny models and tokenizers, a world without language, what a run states."""
