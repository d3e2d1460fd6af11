"""The run folder: phases committed by rename, resumed, verified, shared and merged; its lock; versions and provenance.

Not here: what a phase computes (`loop/`), what its files mean (`analysis/`). Sees no objective and no world. Start with
`run_folder.py`.
"""
