"""Tables, figures and provenance of a run -> a PDF with every printed number in a csv beside it. Computes no statistic."""

from harness.reporting.report.document import write_pdf_and_html, write_report

__all__ = ["write_pdf_and_html", "write_report"]
