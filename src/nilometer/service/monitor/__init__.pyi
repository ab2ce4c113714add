from .alerts import AlertOptions as AlertOptions, Monitor as Monitor, open_alerts as open_alerts
from .deliver import Channel as Channel, Courier as Courier, read_channel as read_channel
from .judge import SCALES as SCALES, Judgement as Judgement, Scale as Scale, judge_windows as judge_windows
