"""What to cite of a run, as BibTeX: the paper of every method, lm-eval where it asked the tasks, and this harness."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from harness.analysis.facts import RunResults
from harness.security.escaping import escape_bibtex

HEAD = """\
% What the record of the run says of each source. Authors and venues are shortened there ("Chen et al."): complete them
% before you cite.
"""
HARNESS_KEY = "selfplay-harness"
HARNESS = {  # as in CITATION.cff
    "author": "{The selfplay-harness authors}",
    "title": "{selfplay-harness: a benchmark harness for self-play fine-tuning objectives}",
}
LM_EVAL_KEY = "eval-harness"
LM_EVAL = {  # as lm-eval asks to be cited
    "author": "Gao, Leo and Tow, Jonathan and Abbasi, Baber and Biderman, Stella and Black, Sid and DiPofi, Anthony and Foster, "
    "Charles and Golding, Laurence and Hsu, Jeffrey and Le Noac'h, Alain and Li, Haonan and McDonell, Kyle and Muennighoff, "
    "Niklas and Ociepa, Chris and Phang, Jason and Reynolds, Laria and Schoelkopf, Hailey and Skowron, Aviya and Sutawika, "
    "Lintang and Tang, Eric and Thite, Anish and Wang, Ben and Wang, Kevin and Zou, Andy",
    "title": "{The Language Model Evaluation Harness}",
    "year": "2024",
    "publisher": "Zenodo",
    "version": "v0.4.3",  # of the DOI
    "doi": "10.5281/zenodo.12608602",
    "url": "https://zenodo.org/records/12608602",
}
AUTHORS_AND_YEAR = re.compile(r"(?P<who>.+?)\s*\(?(?P<year>[0-9]{4})\)?")
SAFE_IN_URL = "/:?#@!$&'()*+,;=-._~%"


def as_bibtex(results: RunResults) -> str:
    """One entry per method played, in the order of the command; methods of one paper share its entry."""
    entries: dict[str, dict[str, str]] = {}
    for label in results.variants:
        variant = results.record["variants"][label]
        fields = _paper(variant.get("citation") or {})
        if fields and fields not in entries.values():
            entries[_free_key(str(variant["name"]), entries)] = fields
    if results.judge_name is None:
        used = results.record.get("versions", {}).get("lm_eval")
        entries[LM_EVAL_KEY] = LM_EVAL | ({"note": f"Used: version {escape_bibtex(used)}"} if used else {})
    version = results.record.get("created_by_version")
    entries[HARNESS_KEY] = HARNESS | ({"version": escape_bibtex(version)} if version else {})
    return HEAD + "\n" + "\n".join(_entry(key, fields) for key, fields in entries.items())


def _paper(citation: Mapping[str, Any]) -> dict[str, str]:
    """The fields of an entry; empty where the record has no citation."""
    if not citation:
        return {}
    label = str(citation["label"])
    fields = {"key": escape_bibtex(label)}  # what it is sorted by where no author is known
    match = AUTHORS_AND_YEAR.fullmatch(label)
    if match and (who := re.sub(r"\s+et al\.?$", "", match["who"])) != match["who"]:
        fields["author"] = f"{{{escape_bibtex(who)}}} and others"
    fields["title"] = f"{{{escape_bibtex(citation['title'])}}}"
    if match:
        fields["year"] = match["year"]
    fields["annote"] = escape_bibtex(citation["where"])  # which a style does not print
    url = str(citation["url"])
    if url.startswith(("https://", "http://")) and urlsplit(url).netloc:
        fields["url"] = quote(url, safe=SAFE_IN_URL)
    if arxiv := re.fullmatch(r"https?://arxiv\.org/abs/([\w.-]+)", url, re.ASCII):
        fields |= {"eprint": arxiv[1], "archiveprefix": "arXiv"}
    return fields


def _free_key(name: str, entries: Mapping[str, Any]) -> str:
    """The method's name in ASCII letters and digits, with a number where it is taken; BibTeX ignores case."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    stem = re.sub(r"[^A-Za-z0-9]+", "-", ascii_name).strip("-") or "method"
    taken = {LM_EVAL_KEY, HARNESS_KEY, *(key.lower() for key in entries)}
    key, number = stem, 2
    while key.lower() in taken:
        key, number = f"{stem}-{number}", number + 1
    return key


def _entry(key: str, fields: Mapping[str, str]) -> str:
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@misc{{{key},", *lines, "}", ""])
