from .rules import (
    STATES as STATES,
    Policy as Policy,
    SamplerOptions as SamplerOptions,
    SamplerThresholds as SamplerThresholds,
    StepSignals as StepSignals,
    classify_step as classify_step,
    fit_thresholds as fit_thresholds,
    policy_of as policy_of,
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
