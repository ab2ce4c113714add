from .answers import frame_traces as frame_traces, join_stream as join_stream
from .checks import StoreCheck as StoreCheck, check_store as check_store
from .database import open_database as open_database, transaction as transaction
from .export import (
    export_estimates as export_estimates,
    export_labels as export_labels,
    export_profiles as export_profiles,
)
from .labels import (
    LabelIn as LabelIn,
    RealizedRow as RealizedRow,
    random_labels as random_labels,
    realized_rows as realized_rows,
)
from .redaction import load_redaction as load_redaction, redact as redact
from .scoring import SliceRow as SliceRow, estimate_hours as estimate_hours
from .slicing import (
    ALL as ALL,
    NO_SLICE as NO_SLICE,
    SLICE_COLUMNS as SLICE_COLUMNS,
    Slicing as Slicing,
    stored_slices as stored_slices,
)
from .store import Store as Store, kept_keys as kept_keys
from .tables import frame_table as frame_table, spool_traces as spool_traces, table_frame as table_frame
from .tail import Tail as Tail, TailStep as TailStep
from .texts import Text as Text, find_texts as find_texts, kept_ids as kept_ids, request_text as request_text
from .upkeep import Forgotten as Forgotten, Retention as Retention
