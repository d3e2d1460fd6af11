"""Where data and models come from: files and folders, data sets of the hub, a mirror of it without network.

Not here: what a row means (a world's data, `language/data/`). Worlds, planning and commands come in. Start with `rows.py`.
"""
