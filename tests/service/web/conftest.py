"""A store with traffic of the last minutes, and a client of its application."""

import contextlib
import json
import shutil
import time

import httpx
import pytest

from nilometer.service import Access, Spool, Store, Worker, make_token, open_database, serve_app


@pytest.fixture(scope="session")
def filled_folder(gemma, frame_of, tmp_path_factory):
    """Folder of a store with 240 responses of the last hour, the first 60 with texts."""
    folder = tmp_path_factory.mktemp("filled")
    spool, rows, now = Spool(folder / "spool"), gemma[0].to_pylist(), time.time()
    for i in range(240):
        row = rows[(5 * i) % len(rows)]
        asked = json.dumps({"prompt": row["prompt"]}).encode()
        given = {"texts": True, "request": asked} if i < 60 else {}
        spool.write(frame_of(row, i, time=int((now - 10 * i) * 1e6), **given))
    spool.close()
    store = Store(folder, keys=("domain",), sentinel=gemma[3])
    while store.step():
        pass
    store.close()
    return folder


@pytest.fixture
def filled(filled_folder, gemma, tmp_path):
    """A store of its own with that traffic, all committed."""
    shutil.copytree(filled_folder, tmp_path, dirs_exist_ok=True)
    store = Store(tmp_path, keys=("domain",), sentinel=gemma[3])
    yield store
    store.close()


@pytest.fixture
def site_of(running):
    """``with site_of(store) as client``: the application of a store on this machine."""

    @contextlib.contextmanager
    def opened(store, *, host="127.0.0.1", follow=True, **options):
        app = serve_app(store, Access(store.reader(), host=host, **options.pop("access", {})), Worker(store), **options)
        with running(app) as url, httpx.Client(base_url=url, follow_redirects=follow, timeout=60) as client:
            yield client

    return opened


@pytest.fixture
def tokens(filled):
    """A token of every role."""
    connection = open_database(filled.root / "nilometer.db")
    roles = ("ingest", "read", "label", "metrics", "admin")
    made = {role: make_token(connection, role=role, name=f"{role}-ann") for role in roles}
    connection.close()
    return made
