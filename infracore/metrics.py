"""Prometheus metrics: a registry of one's own, families made once, and families of gauges set as a whole."""

from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE", "GaugeSet", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST


class GaugeSet:
    """A gauge with labels that is set as a whole: label values that are not named any more disappear."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._shown: dict[tuple[str, ...], float] = {}

    def show(self, values: Mapping[tuple[str, ...], float]) -> None:
        """Show these values, by label values in the order of the labels."""
        for labels in [labels for labels in self._shown if labels not in values]:
            self._gauge.remove(*labels)
            del self._shown[labels]
        for labels, value in values.items():
            if self._shown.get(labels) != value:
                self._gauge.labels(*labels).set(value)
                self._shown[labels] = value


class Metrics:
    """Families of metrics under one prefix, in a registry of their own: two of them never meet. Safe under threads."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.registry = CollectorRegistry()

    def counter(self, name: str, doc: str, labels: Sequence[str] = ()) -> Counter:
        """Make a counter; `_total` is added to its name."""
        return Counter(f"{self._prefix}_{name}", doc, labels, registry=self.registry)

    def gauge(self, name: str, doc: str, labels: Sequence[str] = ()) -> Gauge:
        """Make a gauge."""
        return Gauge(f"{self._prefix}_{name}", doc, labels, registry=self.registry)

    def gauges(self, name: str, doc: str, labels: Sequence[str]) -> GaugeSet:
        """Make a gauge with labels that is set as a whole."""
        return GaugeSet(self.gauge(name, doc, labels))

    def histogram(self, name: str, doc: str, buckets: Sequence[float], labels: Sequence[str] = ()) -> Histogram:
        """Make a histogram with these upper bounds (and infinity)."""
        return Histogram(f"{self._prefix}_{name}", doc, labels, registry=self.registry, buckets=buckets)

    def text(self) -> bytes:
        """Return all in the text format of Prometheus, to be sent as `CONTENT_TYPE`."""
        return generate_latest(self.registry)
