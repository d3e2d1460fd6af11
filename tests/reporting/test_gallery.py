"""The gallery over all reports of a folder: what each found, made from the reports alone; a user's own page stays."""

import json

from harness.reporting.report.gallery import MARK, cards, write_gallery


def put_report(reports, name, **said):
    (reports / name).mkdir(parents=True)
    (reports / name / "provenance.json").write_text(json.dumps({"run": name, **said}))
    (reports / name / "stability_curves.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'></svg>")
    for ending in (".pdf", ".html"):
        (reports / f"{name}{ending}").write_text("")


def test_every_report_has_its_finding_picture_and_links(tmp_path):
    put_report(tmp_path, "lab", title="SPACE ends <above> SPIN", lead="Two objectives.", question=None)
    put_report(tmp_path, "study-lr.2", title="Best lr", lead="Six.", question="At which rate?")
    text = write_gallery(tmp_path).read_text()
    for said in (
        "SPACE ends &lt;above&gt; SPIN",
        "At which rate?",
        'href="lab.pdf"',
        'href="study-lr.2.html"',
        'src="lab/stability_curves.svg"',
    ):
        assert said in text
    assert "<script" not in text and "default-src 'none'" in text


def test_what_is_no_report_is_not_in_it_and_a_users_page_stays(tmp_path):
    put_report(tmp_path, "gone", title="t", lead="")
    (tmp_path / "gone.pdf").unlink()
    (tmp_path / "half").mkdir()
    (tmp_path / "half/provenance.json").write_text("{")
    assert cards(tmp_path) == [] and MARK in write_gallery(tmp_path).read_text()
    (tmp_path / "index.html").write_text("mine")
    assert write_gallery(tmp_path) is None and (tmp_path / "index.html").read_text() == "mine"
