"""Colours as they are seen: lightness, contrast, and what is left of them without green cones."""

import numpy as np

# Machado, Oliveira and Fernandes 2009, table 1: deuteranopia, severity 1, on linear RGB.
DEUTERANOPIA = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]])
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # sRGB, D65


def linear(colour):
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIELAB (L*, a*, b*) of linear RGB."""
    ratio = XYZ @ rgb / XYZ.sum(axis=1)
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast_on_white(colour):
    """WCAG 2: (1 + 0.05) / (Y + 0.05)."""
    return 1.05 / (XYZ[1] @ linear(colour) + 0.05)


def contrast(colour, ground):
    """WCAG 2: the lighter one's luminance and 0.05 over the darker one's."""
    darker, lighter = sorted(XYZ[1] @ linear(one) for one in (colour, ground))
    return (lighter + 0.05) / (darker + 0.05)


def deuteranope(colour):
    """CIELAB of what a deuteranope sees."""
    return lab(np.clip(DEUTERANOPIA @ linear(colour), 0, 1))
