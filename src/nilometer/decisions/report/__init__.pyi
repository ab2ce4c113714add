from .curves import Curve as Curve, report_features as report_features
from .outlook import Outlook as Outlook
from .report import Example as Example, Report as Report, build_report as build_report, short_name as short_name
from .summary import (
    Action as Action,
    SliceRank as SliceRank,
    Step as Step,
    Summary as Summary,
    rank_estimates as rank_estimates,
    rank_slices as rank_slices,
    summarize as summarize,
)
