from .capture import *
from .demo import *
from .gateway import *
from .monitor import *
from .store import *
from .web import *
