"""What people look at: tables, figures, the report, a model card. Reads finished files only, never torch or a model.

Not here: the numbers' formulas (`analysis/`). Commands come in. Start with `tables/__init__.py`, then `report/document.py`.
"""
