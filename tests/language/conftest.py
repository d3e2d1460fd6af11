"""Tests of an optional back end are collected where its folder is."""

from importlib import import_module

collect_ignore = []
for folder in ("engine", "judge"):
    try:
        import_module(f"harness.language.{folder}")
    except ImportError:
        collect_ignore.append(folder)
