from .app import gateway_app as gateway_app
from .budgets import Budgets as Budgets, Hold as Hold
from .config import (
    CascadeConfig as CascadeConfig,
    DecideConfig as DecideConfig,
    GatewayConfig as GatewayConfig,
    ModelConfig as ModelConfig,
    VoteConfig as VoteConfig,
    read_gateway_config as read_gateway_config,
)
from .gateway import Gateway as Gateway, NoAnswerError as NoAnswerError, Notes as Notes
from .policies import Policies as Policies
from .requests import ChatRequest as ChatRequest, read_chat as read_chat
from .routing import Choice as Choice, LiveRouter as LiveRouter
from .upstream import CallFailedError as CallFailedError, Upstream as Upstream, Whole as Whole
