from .answer_table import AnswerTable as AnswerTable, split_labelled as split_labelled
from .cascade import (
    Cascade as Cascade,
    CascadeRun as CascadeRun,
    StopRule as StopRule,
    calibrate_stop as calibrate_stop,
    cascade_for_budget as cascade_for_budget,
    cheap_models as cheap_models,
    run_cascade as run_cascade,
)
from .cost_quality import (
    PolicyPoint as PolicyPoint,
    cheapest_point as cheapest_point,
    compare_with_mixing as compare_with_mixing,
    fixed_points as fixed_points,
    oracle_point as oracle_point,
    policy_point as policy_point,
)
from .file import load_router as load_router, save_router as save_router
from .pacing import Pace as Pace, route_paced as route_paced, start_pace as start_pace
from .policies import policy_points as policy_points
from .report import (
    ModelRow as ModelRow,
    RouteReport as RouteReport,
    SliceRow as SliceRow,
    build_route_report as build_route_report,
)
from .router import Alternative as Alternative, Route as Route, Router as Router, fit_router as fit_router
from .selection import (
    Selection as Selection,
    select_medoid as select_medoid,
    select_text as select_text,
    select_vote as select_vote,
)
