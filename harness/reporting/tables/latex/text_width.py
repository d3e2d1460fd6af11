"""How wide printed text is: an estimate that is never below Times or Computer Modern, to choose a table's size of type.

Kerning and ligatures, which make text narrower, are left out.
"""

from __future__ import annotations

import unicodedata

# Of the characters from space to ~, in thousandths of the size of type: the wider of Times Roman and Computer Modern Roman, from
# their metrics (ptmr8a.afm, cmr10.afm).
FIRST_CHARACTER = " "
WIDTHS = (
    333, 333, 408, 833, 500, 833, 778, 333, 389, 389, 500, 778, 278, 333, 278, 500, 500, 500, 500, 500, 500, 500, 500, 500, 500,
    500, 278, 278, 778, 778, 778, 472, 921, 750, 708, 722, 764, 681, 653, 785, 750, 361, 514, 778, 625, 917, 750, 778, 681, 778,
    736, 556, 722, 750, 750, 1028, 750, 750, 611, 333, 500, 333, 500, 500, 333, 500, 556, 444, 556, 444, 333, 500, 556, 278, 306,
    528, 278, 833, 556, 500, 556, 528, 392, 394, 389, 556, 528, 722, 528, 528, 444, 500, 278, 500, 541,
)  # fmt: skip
OTHER_WIDTHS = {"–": 500, "±": 778, "…": 1000}
UNKNOWN_WIDTH = 750
WIDE = 1000  # a character of Chinese, Japanese or Korean
# Computer Modern is cut wider the smaller it is: width of a digit of cmr6 to cmr10 as share of the size of type (their metrics).
DIGIT_WIDTHS = {6: 0.6111, 7: 0.5694, 8: 0.5313, 9: 0.5139, 10: 0.5}
BOLD = 1.15  # Computer Modern's bold digits beside its roman ones


def text_width(text: str, size: float) -> float:
    """Width of one line of plain text in pt at a size of type in pt."""
    return size * DIGIT_WIDTHS.get(int(size), DIGIT_WIDTHS[10]) / DIGIT_WIDTHS[10] * sum(map(_width, text)) / 1000


def number_width(text: str, size: float) -> float:
    """The same of a number, whose hyphens are printed as minus signs."""
    return text_width(text.replace("-", "+"), size)


def _width(character: str) -> int:
    place = ord(character) - ord(FIRST_CHARACTER)
    if 0 <= place < len(WIDTHS):
        return WIDTHS[place]
    if unicodedata.east_asian_width(character) in "WF":
        return WIDE
    return OTHER_WIDTHS.get(character, UNKNOWN_WIDTH)
