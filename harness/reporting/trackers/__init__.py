"""A run's scores and training curves in TensorBoard, Weights & Biases, trackio or MLflow: a view over finished phases.

A tracker's run is a trial, grouped by the run; a phase that is finished is logged once, by whichever command comes first after
it. No number depends on it. Each library is imported by its own file, and only when it is asked for.
Start with `series.py`, then `publish.py`.
"""
