"""Tables, figures and provenance of a run -> a PDF with every printed number in a csv beside it. Computes no statistic."""

from harness.report.document import write_report

__all__ = ["write_report"]
