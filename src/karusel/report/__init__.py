"""Reports: one self-contained HTML file of a forecast and the evidence for it."""

from __future__ import annotations

from karusel.report.page import write_report as write_report

__all__ = ["write_report"]
