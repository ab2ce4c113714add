from .capture import *
from .demo import *
from .gateway import *
from .labelling import *
from .monitor import *
from .store import *
from .web import *
