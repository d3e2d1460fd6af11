"""Tables, figures and provenance of a run -> a PDF and an HTML page; every printed number is also in a csv. Computes nothing."""

from harness.reporting.report.document import write_pdf_and_html, write_report

__all__ = ["write_pdf_and_html", "write_report"]
