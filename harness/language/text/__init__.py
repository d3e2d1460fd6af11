"""Text and token ids: tokenizers, chat templates and their limits, what the first tokens of a response give away.

Start with `templates.py`.
"""
