from .answers import frame_traces as frame_traces, join_stream as join_stream
from .checks import StoreCheck as StoreCheck, check_store as check_store
from .database import open_database as open_database
from .labels import LabelIn as LabelIn, RealizedRow as RealizedRow, realized_rows as realized_rows
from .scoring import SliceRow as SliceRow
from .slicing import Slicing as Slicing
from .store import Store as Store
