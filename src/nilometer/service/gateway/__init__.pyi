from .app import gateway_app as gateway_app
from .config import (
    CascadeConfig as CascadeConfig,
    DecideConfig as DecideConfig,
    GatewayConfig as GatewayConfig,
    ModelConfig as ModelConfig,
    VoteConfig as VoteConfig,
    read_gateway_config as read_gateway_config,
)
from .gateway import Gateway as Gateway
from .litellm import LiteLLMStrategy as LiteLLMStrategy, route_litellm as route_litellm
from .routing import Choice as Choice
from .upstream import Whole as Whole
