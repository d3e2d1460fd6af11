"""The colour of each method that ships, the same in every figure: a colour belongs to a method, not to a place in a list.

Each has a contrast of 3:1 or more on white, is 7 steps of lightness (CIELAB L*) or more from each other one, so that they are
told apart in grey print, and stays apart for deuteranopes: tests/reporting/test_methods.py. An objective that is not named here
takes the next of OTHERS. DARK_COLOURS and DARK_OTHERS are the same hues on a dark ground.
"""

COLOURS = {
    "sft": "#1a1a1a",
    "sipo": "#4f1f82",
    "tspin": "#005c44",
    "spin": "#bf3a00",
    "space": "#1a7fcf",
    "ssimpo": "#b58f10",
}
OTHERS = ("#c2388f", "#6b4423", "#4d7c0f", "#5b6b7a")
DARK_COLOURS = {
    "sft": "#f2f2f2",
    "sipo": "#8960d4",
    "tspin": "#87c9ae",
    "spin": "#f05c2d",
    "space": "#66a7ec",
    "ssimpo": "#edd285",
}
DARK_OTHERS = ("#e26fa9", "#bc906d", "#90bf41", "#96a8b9")
