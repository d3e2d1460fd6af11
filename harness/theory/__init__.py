"""What an objective's optimum is, without a model: the self-play game on a few outcomes, with exact expectations."""
