from .capture import *
