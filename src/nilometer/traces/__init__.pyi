from .batch import Trace as Trace, trace_batch as trace_batch
from .checked import read_checked_table as read_checked_table, write_checked_table as write_checked_table
from .corpus import corpus_names as corpus_names, corpus_path as corpus_path
from .doctor import *
from .index import SliceIndex as SliceIndex, index_slices as index_slices
from .labels import (
    LabelReport as LabelReport,
    join_labels as join_labels,
    parse_correct as parse_correct,
    read_labels as read_labels,
)
from .panel import Panel as Panel, read_panel as read_panel
from .saved import (
    SavedKind as SavedKind,
    SavedTable as SavedTable,
    read_saved_json as read_saved_json,
    read_saved_table as read_saved_table,
    write_saved_json as write_saved_json,
    write_saved_table as write_saved_table,
)
from .schema import CUT_OFF_REASONS as CUT_OFF_REASONS, LABEL_SCHEMA as LABEL_SCHEMA, TRACE_SCHEMA as TRACE_SCHEMA
from .slices import attribute_keys as attribute_keys, slice_index as slice_index, slice_names as slice_names
from .sources import expand_paths as expand_paths, is_packed as is_packed
from .store import (
    has_attention as has_attention,
    is_parquet as is_parquet,
    whole_file as whole_file,
    write_traces as write_traces,
)
from .tables import as_table as as_table, as_traces as as_traces, is_table as is_table
from .wire import *
