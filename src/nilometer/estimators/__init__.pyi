from .accuracy import *
from .agreement import *
from .change import *
from .confidence import *
from .estimate import Estimate as Estimate, NotEnoughData as NotEnoughData, SliceEstimates as SliceEstimates
from .intervals import conformal_interval as conformal_interval, prediction_interval as prediction_interval
from .labelled import *
from .posterior import *
from .profiles import Profiles as Profiles, as_profiles as as_profiles
from .residuals import Residuals as Residuals, fit_residuals as fit_residuals, pool_residuals as pool_residuals
from .responses import Responses as Responses, as_responses as as_responses, cut_responses as cut_responses
from .state import SliceSums as SliceSums
