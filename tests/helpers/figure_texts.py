"""Where the texts of a figure lie: those that are cut off by its edge, and those that cover one another."""

import itertools


def texts(figure):
    """Every text that is drawn, with its box in pixels."""
    from matplotlib.text import Text

    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    not_drawn = set()  # labels of ticks outside of their axes
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        not_drawn |= {id(tick.label1) for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    for text in figure.findobj(Text):
        if (
            id(text) not in not_drawn
            and text.get_visible()
            and text.get_text().strip()
            and (text.axes is None or text.axes.get_visible())
        ):
            yield text, Text.get_window_extent(text, renderer)  # without the line from an annotation to its point


def outside(figure):
    """Texts that leave the figure by more than a pixel."""
    right, top = figure.get_size_inches() * figure.dpi
    boxes = [(text.get_text(), box) for text, box in texts(figure)]
    return [said for said, box in boxes if box.x0 < -1 or box.y0 < -1 or box.x1 > right + 1 or box.y1 > top + 1]


def covered(figure):
    """Pairs of texts that cover one another by more than a pixel across and three up."""
    boxes = [(text.get_text(), box) for text, box in texts(figure)]
    return [
        (said, other) for (said, a), (other, b) in itertools.combinations(boxes, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 3
    ]  # fmt: skip
