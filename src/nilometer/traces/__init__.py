"""What was said: traces with log-probabilities, read from every common wire format."""

from .batch import Trace, trace_batch
from .corpus import corpus_names, corpus_path
from .doctor import Diagnosis, Finding, ModelDiagnosis, SliceCoverage, diagnose
from .formats import FORMATS, Format
from .labels import LabelReport, join_labels, parse_correct, read_labels
from .objects import traces_from_generate, traces_from_vllm
from .panel import Panel, read_panel
from .reader import FileReport, ReadReport, TraceStream, read_traces, traces_from_response
from .schema import ATTENTION_COLUMNS, ATTENTION_SCHEMA, FORMAT_VERSION, LABEL_SCHEMA, TRACE_SCHEMA
from .slices import attribute_keys, slice_names
from .sources import expand_paths
from .store import has_attention, write_traces

__all__ = [
    "ATTENTION_COLUMNS",
    "ATTENTION_SCHEMA",
    "FORMATS",
    "FORMAT_VERSION",
    "LABEL_SCHEMA",
    "TRACE_SCHEMA",
    "Diagnosis",
    "FileReport",
    "Finding",
    "Format",
    "LabelReport",
    "ModelDiagnosis",
    "Panel",
    "ReadReport",
    "SliceCoverage",
    "Trace",
    "TraceStream",
    "attribute_keys",
    "corpus_names",
    "corpus_path",
    "diagnose",
    "expand_paths",
    "has_attention",
    "join_labels",
    "parse_correct",
    "read_labels",
    "read_panel",
    "read_traces",
    "slice_names",
    "trace_batch",
    "traces_from_generate",
    "traces_from_response",
    "traces_from_vllm",
    "write_traces",
]
