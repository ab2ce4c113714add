from .access import (
    Access as Access,
    Person as Person,
    Proxy as Proxy,
    make_token as make_token,
    revoke_tokens as revoke_tokens,
)
from .app import serve_app as serve_app
from .worker import Worker as Worker
