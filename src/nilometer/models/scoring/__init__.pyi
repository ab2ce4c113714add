from .local import HFScorer as HFScorer
from .servers import EchoScorer as EchoScorer, PromptScorer as PromptScorer
from .tree import Scorer as Scorer
