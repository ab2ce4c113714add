from .outlook import Outlook as Outlook, build_outlook as build_outlook
from .report import (
    Curve as Curve,
    Example as Example,
    Report as Report,
    build_report as build_report,
    choose_families as choose_families,
    choose_keys as choose_keys,
    short_name as short_name,
)
