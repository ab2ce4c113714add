from .rules import (
    STATES as STATES,
    SamplerOptions as SamplerOptions,
    SamplerThresholds as SamplerThresholds,
    StepSignals as StepSignals,
    classify_step as classify_step,
    fit_thresholds as fit_thresholds,
    read_thresholds as read_thresholds,
    write_thresholds as write_thresholds,
)
from .runner import SamplerRunner as SamplerRunner
from .sampler import (
    EntropyProcessor as EntropyProcessor,
    EntropySampler as EntropySampler,
    SampledAnswer as SampledAnswer,
    SampledToken as SampledToken,
)
