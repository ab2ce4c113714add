from .formats import FORMATS as FORMATS, Format as Format
from .objects import traces_from_generate as traces_from_generate, traces_from_vllm as traces_from_vllm
from .reader import (
    FileReport as FileReport,
    ReadReport as ReadReport,
    TraceStream as TraceStream,
    read_traces as read_traces,
    traces_from_response as traces_from_response,
)
from .sources import expand_paths as expand_paths
