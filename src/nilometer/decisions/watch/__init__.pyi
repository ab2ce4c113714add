from .alerts import (
    Alert as Alert,
    Scores as Scores,
    below_alert as below_alert,
    change_alerts as change_alerts,
    disagreement as disagreement,
    fall_alert as fall_alert,
    mix_p_value as mix_p_value,
)
from .watch import Watch as Watch, WatchOptions as WatchOptions, WindowSlice as WindowSlice, build_watch as build_watch
