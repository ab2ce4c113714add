from .alerts import (
    AlertOptions as AlertOptions,
    Monitor as Monitor,
    OpenAlert as OpenAlert,
    open_alerts as open_alerts,
)
from .attention import (
    STATE_NAMES as STATE_NAMES,
    Ranked as Ranked,
    Verdict as Verdict,
    rank_views as rank_views,
    state_of as state_of,
    verdict_of as verdict_of,
)
from .deliver import Channel as Channel, Courier as Courier, read_channel as read_channel
from .export import (
    EvaluationExporter as EvaluationExporter,
    evaluation_events as evaluation_events,
    read_headers as read_headers,
)
from .judge import SCALES as SCALES, Judgement as Judgement, Scale as Scale, judge_windows as judge_windows
from .overview import Change as Change, Overview as Overview, Overviews as Overviews, SliceView as SliceView
from .refit import (
    PREVIOUS as PREVIOUS,
    SENTINEL as SENTINEL,
    Refit as Refit,
    Refitter as Refitter,
    keep_sentinel as keep_sentinel,
    labelled_profiles as labelled_profiles,
    refit as refit,
)
from .responses import (
    ENTROPY_COLUMNS as ENTROPY_COLUMNS,
    EntropyLine as EntropyLine,
    entropy_lines as entropy_lines,
    find_response as find_response,
    least_confident as least_confident,
    read_responses as read_responses,
)
from .state import (
    AlertRow as AlertRow,
    CaptureRow as CaptureRow,
    OutcomeRow as OutcomeRow,
    acknowledge as acknowledge,
    alert_rows as alert_rows,
    capture_rows as capture_rows,
    outcome_rows as outcome_rows,
    sentinel_values as sentinel_values,
)
from .timeline import (
    Mark as Mark,
    Moment as Moment,
    Place as Place,
    read_marks as read_marks,
    read_timeline as read_timeline,
    split_change as split_change,
)
from .upstream import CanaryWatch as CanaryWatch
