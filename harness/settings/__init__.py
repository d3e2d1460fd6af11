"""How files of settings are found, read and judged: paths, TOML, numbers, names, and who said what.

Not here: the settings themselves (`config.py`, `loop/suite.py`, `loop/study.py`). Everybody may come in.
Start with `toml_files.py`.
"""
