"""`clues report`: what happened in a period, summed up (`summary`), drawn (`svg`) and put on a page (`page`).

Pure: takes records (`clues.history.History.records`) and returns values and text. Tests: `tests/clues/api/report/`.
"""

from clues.api.report.page import report_page
from clues.api.report.summary import Report, summarise

__all__ = ["Report", "report_page", "summarise"]
