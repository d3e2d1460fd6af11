"""Generation by vLLM in a process of its own: the line to it, what may go over it, and the proof that the adapter is on."""
