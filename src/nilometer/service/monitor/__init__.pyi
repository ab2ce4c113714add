from .alerts import AlertOptions as AlertOptions, OpenAlert as OpenAlert, open_alerts as open_alerts
from .deliver import Channel as Channel, read_channel as read_channel
from .export import EvaluationExporter as EvaluationExporter, read_headers as read_headers
from .judge import SCALES as SCALES, Judgement as Judgement, Scale as Scale, judge_windows as judge_windows
from .overview import Change as Change
from .refit import (
    PREVIOUS as PREVIOUS,
    SENTINEL as SENTINEL,
    Refit as Refit,
    Refitter as Refitter,
    keep_sentinel as keep_sentinel,
    refit as refit,
)
from .responses import least_confident as least_confident
from .timeline import Place as Place
from .upstream import CanaryWatch as CanaryWatch
