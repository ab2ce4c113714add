"""Plans that cannot be made."""

import pytest

from nilometer.errors import ConfigError
from nilometer.service import Spool, Store
from nilometer.service.labelling.plans import PlanRow, make_plan, save_plan

HOUR = 1_795_003_200 // 3600


@pytest.fixture
def store(gemma, frame_of, tmp_path):
    """Thirty responses without and ten with texts, an hour later."""
    spool, rows = Spool(tmp_path / "spool"), gemma[0].slice(0, 40).to_pylist()
    for i, row in enumerate(rows):
        texts = {} if i < 30 else {"texts": True, "request": b'{"prompt": "who?"}'}
        spool.write(frame_of(row, i, seconds=3600 * (i >= 30), **texts))
    spool.close()
    store = Store(tmp_path, keys=("domain", "model"), sentinel=gemma[3])
    store.step()
    yield store
    store.close()


@pytest.mark.parametrize("budget", [0, 10**6])
def test_budget_has_its_bounds(store, budget):
    with pytest.raises(ConfigError, match=rf"`budget` must lie in 1 to 20,000, got {budget:,}"):
        make_plan(store, store.reader(), "all", hours=(HOUR, HOUR + 1), budget=budget, seed=0)


@pytest.mark.parametrize("hours", [(HOUR, HOUR), (HOUR - 9, HOUR - 8)])
def test_without_texts_there_is_nothing_to_label(store, hours):
    with pytest.raises(ConfigError, match="no texts are kept of these hours"):
        make_plan(store, store.reader(), "all", hours=hours, budget=5, seed=0)


def test_a_plan_by_model_has_one_slice_a_model(store, gemma):
    planned, texts, frame = make_plan(store, store.reader(), "model", hours=(HOUR, HOUR + 1), budget=4, seed=0)
    assert {one.slice for one in planned} == {gemma[0]["model"][0].as_py()}
    assert (len(planned), len(texts)) == (4, 4)
    assert frame == "10 responses whose texts are kept, by model, seed 0"


def test_a_plan_names_each_response_once(store):
    (one, *_), *_ = make_plan(store, store.reader(), "all", hours=(HOUR, HOUR + 1), budget=1, seed=0)
    with store.writing() as connection, pytest.raises(ConfigError, match="must name each response once"):
        save_plan(connection, PlanRow(0, "p", 0, "ann", "all", 0, 0.0, "", 0), [one, one], texts={})
