from .checks import StoreCheck as StoreCheck, check_store as check_store
from .database import open_database as open_database
from .export import (
    export_estimates as export_estimates,
    export_labels as export_labels,
    export_profiles as export_profiles,
)
from .labels import LabelIn as LabelIn, RealizedRow as RealizedRow, realized_rows as realized_rows
from .redaction import load_redaction as load_redaction, redact as redact
from .scoring import SliceRow as SliceRow, estimate_hours as estimate_hours
from .store import Store as Store, kept_keys as kept_keys
from .tables import spool_traces as spool_traces
from .tail import Tail as Tail, TailStep as TailStep
from .texts import Text as Text
from .upkeep import Forgotten as Forgotten, Retention as Retention
