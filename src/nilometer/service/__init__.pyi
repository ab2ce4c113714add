from .capture import *
from .monitor import *
from .store import *
from .web import *
