from .formats import FORMATS as FORMATS, Format as Format
from .layout import Layout as Layout
from .lines.context import last_user_text as last_user_text
from .objects import traces_from_generate as traces_from_generate, traces_from_vllm as traces_from_vllm
from .reader import TraceStream as TraceStream, read_traces as read_traces, traces_from_response as traces_from_response
from .report import FileReport as FileReport, ReadReport as ReadReport
