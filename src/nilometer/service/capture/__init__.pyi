from .client import wrap as wrap
from .frames import HEAD_BYTES as HEAD_BYTES, Frame as Frame, FrameReader as FrameReader
from .langchain import langchain_callback as langchain_callback
from .litellm import litellm_logger as litellm_logger
from .middleware import Capture as Capture
from .proxy import PassThrough as PassThrough, proxy_app as proxy_app
from .settings import Settings as Settings, SliceSource as SliceSource, read_settings as read_settings
from .spool import Spool as Spool
