"""Metrics."""

from infracore.metrics import Metrics


def test_gauges_that_are_not_named_any_more_disappear() -> None:
    metrics = Metrics("x")
    gauges = metrics.gauges("nodes", "Nodes.", ["pool"])
    gauges.show({("a",): 1.0, ("b",): 2.0})
    gauges.show({("b",): 3.0})
    text = metrics.text().decode()
    assert 'x_nodes{pool="b"} 3.0' in text
    assert 'pool="a"' not in text


def test_two_sets_do_not_meet() -> None:
    for _ in range(2):
        counter = Metrics("x").counter("things", "Things.")
        counter.inc()
