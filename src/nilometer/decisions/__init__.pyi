from .answers import *
from .headline import *
from .plans import *
from .report import *
from .routes import *
from .texts import *
from .watch import *
