"""How log-probabilities and samples are computed: layout of rows, key-value cache, LoRA layers, projection, sampling."""
