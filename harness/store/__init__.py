"""The run folder: phases committed by rename, resumed, verified, shared and merged; the lease on it; what numbers were made with.

Not here: what a phase computes (`loop/`), what its files mean (`analysis/`). Sees no objective and no world. Start with
`run_folder.py`.
"""
