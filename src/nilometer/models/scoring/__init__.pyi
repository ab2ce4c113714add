from .local import HFScorer as HFScorer
from .servers import EchoScorer as EchoScorer, PromptScorer as PromptScorer
from .tree import (
    PrefixTree as PrefixTree,
    Scorer as Scorer,
    apart as apart,
    ended as ended,
    path_logprobs as path_logprobs,
    prefix_tree as prefix_tree,
)
