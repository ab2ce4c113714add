from .merge import (
    AttentionMoments as AttentionMoments,
    attention_moments as attention_moments,
    merge_attention as merge_attention,
)
from .scores import (
    ATTENTION_FEATURE_NAMES as ATTENTION_FEATURE_NAMES,
    AttentionCurves as AttentionCurves,
    attention_curves as attention_curves,
    attention_features as attention_features,
    attention_score as attention_score,
    lookback_ratio as lookback_ratio,
    rauq as rauq,
)
from .statistics import (
    ATTENTION_FIELDS as ATTENTION_FIELDS,
    AttentionStatistics as AttentionStatistics,
    attention_entropy as attention_entropy,
    attention_statistics as attention_statistics,
    attention_varentropy as attention_varentropy,
    normalized_attention_entropy as normalized_attention_entropy,
    sink_mass as sink_mass,
)
from .table import attention_from_batch as attention_from_batch
from .token_features import (
    TOKEN_ATTENTION_NAMES as TOKEN_ATTENTION_NAMES,
    TOKEN_OUTPUT_NAMES as TOKEN_OUTPUT_NAMES,
    token_features as token_features,
    token_truth as token_truth,
)
