"""The explorer: one HTML file in which a reader doubts the answer, player by player and item by item. Start with `page.py`.

`run_data.py` gathers what the page shows of a run, `page.py` puts it into the file with the script (`js/`) and the style. Numbers
come from the tables and from finished files; the page computes none that a table has.
"""
