from .access import ROLES as ROLES, Access as Access, make_token as make_token
from .app import serve_app as serve_app
from .worker import Worker as Worker
