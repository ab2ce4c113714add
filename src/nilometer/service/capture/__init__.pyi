from .client import wrap as wrap
from .frames import (
    HEAD_BYTES as HEAD_BYTES,
    SPOOL_VERSION as SPOOL_VERSION,
    Frame as Frame,
    FrameReader as FrameReader,
    check_head as check_head,
    decode_frame as decode_frame,
    encode_frame as encode_frame,
)
from .langchain import langchain_callback as langchain_callback
from .litellm import litellm_logger as litellm_logger
from .middleware import Capture as Capture
from .proxy import PassThrough as PassThrough, proxy_app as proxy_app
from .recorder import Recorder as Recorder
from .requests import slice_values as slice_values
from .sampling import SliceRates as SliceRates, hash_uniform as hash_uniform
from .settings import Settings as Settings, SliceSource as SliceSource, read_settings as read_settings
from .spool import Spool as Spool
from .strip import EventCutter as EventCutter, strip_body as strip_body, strip_event as strip_event
