from .calibrator import Calibrator as Calibrator
from .parse import (
    Parser as Parser,
    parse_answer as parse_answer,
    parse_items as parse_items,
    parse_label as parse_label,
    parse_number as parse_number,
    parse_text as parse_text,
    parse_tokens as parse_tokens,
)
from .posterior import Bounds as Bounds, Posterior as Posterior
from .responses import (
    posterior_from_lm_eval as posterior_from_lm_eval,
    posterior_from_response as posterior_from_response,
    posteriors_from_traces as posteriors_from_traces,
)
