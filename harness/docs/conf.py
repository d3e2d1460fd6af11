"""How Sphinx builds the site of these papers: `make docs`. The checkout is its source, so all links are checked."""

from __future__ import annotations

from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

from harness import __version__

project = "selfplay-harness"
version = release = __version__
author = copyright = "The selfplay-harness authors"

extensions = ["myst_parser", "sphinx_copybutton"]
root_doc = "harness/docs/index"
include_patterns = ["*.md", "*/README.md", "harness/*/README.md", "results/published/README.md", "harness/docs/*.md"]
exclude_patterns = [".*", "build", "dist", "tests"]
nitpicky = True

myst_heading_anchors = 3  # links to headings as GitHub spells them
smartquotes = False  # r' is a name

html_theme = "furo"
html_title = f"{project} {version}"
html_copy_source = html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
pygments_style, pygments_dark_style = "friendly", "monokai"


def lead_to_root(app: Sphinx, error: Exception | None) -> None:
    """The site's first page stands where its text does; who opens the folder is led there."""
    if error is None:
        line = f'<meta http-equiv="refresh" content="0; url={root_doc}.html"><a href="{root_doc}.html">{project}</a>\n'
        (Path(app.outdir) / "index.html").write_text(line, encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.add_lexer("tree", TextLexer)  # the tree in CONTRIBUTING.md, which a test reads
    app.connect("build-finished", lead_to_root)
