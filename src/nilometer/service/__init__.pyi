from .capture import *
from .store import *
from .web import *
