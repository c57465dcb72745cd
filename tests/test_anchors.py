"""Published numbers: each has a source, and the averages are averages."""

from __future__ import annotations

import json
import re
from collections import defaultdict

import pytest

from handful.errors import InputError
from handful.protocols.anchors import PROTOCOLS, Anchor, anchors, parse

ELEVEN = "average of 11"
ROW = {
    "method": "M", "encoder": "RN50", "data_set": "DTD", "protocol": PROTOCOLS[0],
    "accuracy": {"1": 50.0}, "text": "one template", "hyper_parameters": "none", "source": "a@b:c",
}  # fmt: skip


def test_every_protocol_has_some():
    assert all(anchors(protocol) for protocol in PROTOCOLS)
    assert len(anchors()) == sum(len(anchors(p)) for p in PROTOCOLS)


def test_every_record_has_a_source_in_a_file():
    bad = [a.source for a in anchors() if not re.search(r"README|:\S|paper", a.source)]
    assert not bad


def test_no_record_twice():
    keys = [(a.method, a.encoder, a.data_set, a.protocol, a.source, a.hyper_parameters, *a.accuracy)
            for a in anchors()]  # fmt: skip
    assert len(set(keys)) == len(keys)


def test_averages_are_the_means_of_their_eleven():
    parts = defaultdict(dict)
    for a in anchors(PROTOCOLS[0]):
        for shots, value in a.accuracy.items():
            parts[a.method, a.encoder, a.source, shots][a.data_set] = (value, a.computed)
    checked = 0
    for key, sets in parts.items():
        if ELEVEN not in sets or len(sets) < 12:
            continue
        assert len(sets) == 12, key
        mean = sum(v for name, (v, _) in sets.items() if name != ELEVEN) / 11
        assert sets[ELEVEN][0] == pytest.approx(mean, abs=0.0101), key
        checked += 1
    computed = [a for a in anchors(PROTOCOLS[0]) if a.computed]
    assert checked == sum(len(a.accuracy) for a in computed) == 1 + 10 * 5 + 4


def test_harmonic_means():
    for a in anchors("base-to-new"):
        if len(a.accuracy) == 3:
            base, new, printed = (a.accuracy[k] for k in ("base", "new", "harmonic mean"))
            off = 0.3 if a.method in ("GDA", "HPT") else 0.03  # printed so; their notes tell
            assert printed == pytest.approx(2 * base * new / (base + new), abs=off), a.method


def test_what_was_tuned_on_test_images_is_marked():
    leaky = {a.method for a in anchors(encoder="RN50") if a.leaky}
    assert {"Tip-Adapter", "Tip-Adapter-F", "GDA", "APE", "TIMO", "AMU-Tuning"} <= leaky
    honest = {a.method for a in anchors(PROTOCOLS[0]) if not a.leaky}
    assert {"ProLIP", "CLIP-LoRA", "Zero-shot CLIP"} <= honest


def test_filters():
    found = anchors("few-shot all-to-all", "RN50", "DTD")
    assert found
    assert {(a.protocol, a.encoder, a.data_set) for a in found} == {(PROTOCOLS[0], "RN50", "DTD")}
    with pytest.raises(InputError, match="no protocol"):
        anchors("few shots")


def test_a_record_cannot_be_changed():
    with pytest.raises(TypeError):
        anchors()[0].accuracy["1"] = 99.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": ""}, "needs its source"),
        ({"protocol": "x"}, "expected one of"),
        ({"leaky": True}, "belong together"),
        ({"accuracy": {}}, "accuracy is given"),
        ({"accuracy": {"one": 5.0}}, "accuracy is given"),
        ({"accuracy": {"1": 101.0}}, "percent"),
        ({"more": 1}, "list of anchors"),
    ],
)
def test_bad_records(change, words):
    assert parse(json.dumps({"anchors": [ROW]})) == (Anchor(**ROW),)
    with pytest.raises(InputError, match=words):
        parse(json.dumps({"anchors": [{**ROW, **change}]}))


def test_bad_files():
    for content in ("", "[]", "{}", '{"anchors": [1]}'):
        with pytest.raises(InputError, match=r"anchors\.json"):
            parse(content)
