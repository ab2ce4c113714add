from .answers import *
from .attention import *
from .distances import *
from .profiles import (
    PROFILE_COLUMNS as PROFILE_COLUMNS,
    profile_batch as profile_batch,
    profile_features as profile_features,
    profile_traces as profile_traces,
)
from .text import *
from .tokens import *
