from .chat import Pieces as Pieces
from .joiner import Joiner as Joiner, joiners as joiners
from .parts import Joined as Joined, ListedToken as ListedToken
