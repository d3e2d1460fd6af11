"""Tables, figures and provenance of a run -> a PDF with every printed number in a csv beside it. Computes no statistic."""

from harness.reporting.report.document import publish, write_report

__all__ = ["publish", "write_report"]
