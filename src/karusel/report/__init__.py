"""Reports: one self-contained HTML file of a forecast and the evidence for it, or of a network's inside."""

from __future__ import annotations

from karusel.report.network import write_network_report as write_network_report
from karusel.report.page import write_report as write_report

__all__ = ["write_network_report", "write_report"]
