"""The lab: the embedded default world, its ten small tasks and its tiny base model."""
