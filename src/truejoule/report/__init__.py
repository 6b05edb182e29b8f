"""Shows evaluations: tables for the terminal, figures for papers, one HTML file for everybody.

Reads the JSON form of evaluations and nothing else.
"""

from truejoule.report.charts import NAMES as NAMES
from truejoule.report.charts import available as available
from truejoule.report.charts import chart as chart
from truejoule.report.figures import figure as figure
from truejoule.report.page import page as page
from truejoule.report.tables import breakdown as breakdown
from truejoule.report.tables import comparison as comparison
from truejoule.report.tables import layers as layers
from truejoule.report.tables import summary as summary

__all__ = ["NAMES", "available", "breakdown", "chart", "comparison", "figure", "layers", "page", "summary"]
