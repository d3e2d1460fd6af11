"""LoRA in the stand-in."""
