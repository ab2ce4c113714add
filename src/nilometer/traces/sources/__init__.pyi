from .bytes import is_packed as is_packed, lines_of as lines_of, opened as opened
from .objects import (
    END_OF_STREAM as END_OF_STREAM,
    json_objects as json_objects,
    objects_in as objects_in,
    objects_of_bytes as objects_of_bytes,
)
from .paths import FoundPaths as FoundPaths, expand_paths as expand_paths, is_regular as is_regular
