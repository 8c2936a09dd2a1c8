"""One page of all measurements: each section is a command, and shows what the command printed and drew."""

from eval.report.page import render_report
from eval.report.run import Part, Report, make_report
from eval.report.settings import ReportFile, SectionSettings

__all__ = ["Part", "Report", "ReportFile", "SectionSettings", "make_report", "render_report"]
