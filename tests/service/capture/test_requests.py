import json

import numpy as np
import pytest

from nilometer.errors import ConfigError
from nilometer.service.capture import Settings, read_settings
from nilometer.service.capture.requests import slice_values
from nilometer.service.capture.sampling import SliceRates, hash_uniform

BODY = json.dumps({"model": "m", "user": "ann", "metadata": {"tenant": "a", "n": 3, "deep": {}}}).encode()


def test_slices_come_from_metadata_and_own_headers_by_default():
    headers = [(b"X-Nilometer-Route", b"faq"), (b"authorization", b"secret")]
    assert slice_values(BODY, headers, Settings()) == {"tenant": "a", "n": "3", "route": "faq"}


def test_named_slices_come_from_where_they_are_named_and_nothing_else_does():
    sources = "t=metadata:tenant,who=hash:body:user,lang=header:X-Lang,no=header:x-no"
    settings = read_settings({"NILOMETER_SLICES": sources, "NILOMETER_HASH_KEY": "s"})
    found = slice_values(BODY, [(b"x-lang", b"de")], settings)
    assert found.keys() == {"t", "who", "lang"}
    assert (found["t"], found["lang"], len(found["who"])) == ("a", "de", 12)
    other = read_settings({"NILOMETER_SLICES": sources, "NILOMETER_HASH_KEY": "other"})
    assert slice_values(BODY, [], other)["who"] != found["who"]


def test_keys_and_values_are_bounded():
    many = json.dumps({"metadata": {f"k{i:02d}": "v" * 999 for i in range(50)}}).encode()
    found = slice_values(many, [], Settings())
    assert len(found) == 16
    assert set(map(len, found.values())) == {200}


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("RATE", "0", r"`NILOMETER_RATE` must lie in \(0, 1\], got 0.0"),
        ("RATE", "x", "`NILOMETER_RATE` must be a number, got 'x'"),
        ("K", "-1", "`NILOMETER_K` must lie in"),
        ("K", "1.5", "must be a number"),
        ("TEXTS", "perhaps", "`NILOMETER_TEXTS` must be 1 or 0"),
        ("SLICES", "tenant", "must list NAME=PLACE:KEY"),
        ("SLICES", "a=cookie:b", "must list NAME=PLACE:KEY"),
        ("ABSENT", "gone", "environment of nilometer's capture"),
        ("SPOOL_LIMIT", "-5", "`NILOMETER_SPOOL_LIMIT` must be >= 0"),
    ],
)
def test_wrong_setting_is_named(variable, value, message):
    with pytest.raises(ConfigError, match=message):
        read_settings({f"NILOMETER_{variable}": value})


def test_settings_are_read():
    given = {"NILOMETER_RATE": "0.25", "NILOMETER_K": "5", "NILOMETER_TEXTS": "yes", "NILOMETER_ABSENT": "omit"}
    found = read_settings(given)
    assert (found.rate, found.k, found.texts, found.absent) == (0.25, 5, True, "omit")


def test_hashes_are_uniform():
    drawn = np.array([hash_uniform(f"request-{i}") for i in range(20_000)])
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8  # chi-square, 19 degrees of freedom, p = 0.001


def test_weights_of_capped_slices_count_every_request():
    rates = SliceRates(1.0, 100)
    pairs = [(rates.next("a", 60.0 * i / 100), hash_uniform(f"r{i}")) for i in range(20_000)]
    kept = np.array([p for p, u in pairs if u < p])
    everyone = np.array([p for p, _ in pairs])
    spread = np.sqrt(((1 - everyone) / everyone).sum())
    assert abs((1 / kept).sum() - 20_000) < 3.3 * spread
    assert len(kept) < 4 * 100 * (1 + np.log(60))


def test_without_a_cap_the_rate_stays():
    rates = SliceRates(0.3, 0)
    assert {rates.next("a", 0.0) for _ in range(1000)} == {0.3}
