__version__: str

from . import (
    decisions as decisions,
    errors as errors,
    estimators as estimators,
    models as models,
    pages as pages,
    signals as signals,
    traces as traces,
)
from .decisions.answers import (
    compare as compare,
    decide as decide,
    decide_live as decide_live,
    decide_many as decide_many,
)
from .decisions.plans import plan_acquisition as plan_acquisition, plan_labels as plan_labels
from .decisions.report import Report as Report, build_report as build_report
from .decisions.routes import (
    Cascade as Cascade,
    Router as Router,
    fit_router as fit_router,
    load_router as load_router,
    save_router as save_router,
)
from .decisions.texts import mbr as mbr, mbr_many as mbr_many
from .decisions.watch import build_watch as build_watch
from .estimators import Estimate as Estimate, NotEnoughData as NotEnoughData, SliceEstimates as SliceEstimates
from .estimators.accuracy import Sentinel as Sentinel, load_sentinel as load_sentinel, save_sentinel as save_sentinel
from .estimators.agreement import Smoothie as Smoothie
from .estimators.confidence import TokenConfidence as TokenConfidence
from .estimators.posterior import Calibrator as Calibrator, Posterior as Posterior
from .pages import render_html as render_html
from .signals import profile_traces as profile_traces, token_entropy as token_entropy, token_signals as token_signals
from .traces import (
    diagnose as diagnose,
    join_labels as join_labels,
    read_labels as read_labels,
    read_traces as read_traces,
    slice_names as slice_names,
    write_traces as write_traces,
)
