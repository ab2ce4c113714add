from .answers import *
from .attention import *
from .distances import *
from .profile_file import (
    is_profile_file as is_profile_file,
    read_profiles as read_profiles,
    write_profiles as write_profiles,
)
from .profiles import (
    PROFILE_COLUMNS as PROFILE_COLUMNS,
    profile_batch as profile_batch,
    profile_traces as profile_traces,
)
from .text import *
from .tokens import *
