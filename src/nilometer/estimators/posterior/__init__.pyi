from .calibrator import Calibrator as Calibrator
from .draws import FailedDraw as FailedDraw, whole_draw as whole_draw
from .onecall import posterior_of_call as posterior_of_call
from .posterior import Bounds as Bounds, Posterior as Posterior
from .responses import (
    posterior_from_lm_eval as posterior_from_lm_eval,
    posterior_from_response as posterior_from_response,
    posteriors_from_traces as posteriors_from_traces,
)
from .tokens import ListedToken as ListedToken, listed_tokens as listed_tokens
