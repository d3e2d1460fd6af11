"""The cluster-robust error of a mean as regression packages compute it: what ours is compared with."""

import numpy as np


def sandwich(values, clusters):
    """The variance of an intercept by least squares with clusters, (X'X)^-1 X' u u' X (X'X)^-1, as regression packages have it:
    X a column of ones, their correction G / (G - 1) * (I - 1) / (I - k), with k = 1 parameter."""
    residuals = np.array(values) - np.mean(values)
    scores = np.bincount(clusters, residuals)
    return float(np.sqrt(len(scores) / (len(scores) - 1) * scores @ scores) / len(values))
