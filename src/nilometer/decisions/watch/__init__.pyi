from .alerts import (
    Alert as Alert,
    Scores as Scores,
    below_alert as below_alert,
    change_alerts as change_alerts,
    disagreement as disagreement,
    fall_alert as fall_alert,
    mix_p_value as mix_p_value,
)
from .events import Event as Event, build_events as build_events
from .reasons import Stretch as Stretch, likely_reasons as likely_reasons, stretch_of as stretch_of
from .watch import Watch as Watch, WatchOptions as WatchOptions, WindowSlice as WindowSlice, build_watch as build_watch
