"""How files of settings are found, read and validated: paths, TOML, numbers, names, and the source of each setting.

Not here: the settings themselves (`config.py`, `loop/suite.py`, `loop/study.py`). Everybody may come in.
Start with `toml_files.py`.
"""
