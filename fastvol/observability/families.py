"""Metric families by upstream's names (weed/stats/metrics.go, metrics_names.go).

``prometheus_client`` has the data model; its own families would not do, because they append ``_total``
to the name of every counter, and dashboards know most of ours without.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from prometheus_client.core import Metric

from fastvol.observability.go_floats import go_float

if TYPE_CHECKING:
    from fastvol.observability.histogram import Observed

NAMESPACE: Final = "SeaweedFS_volumeServer_"

Labels = Mapping[str, str]
Sample = tuple[Labels, float]


def counter(name: str, text: str, samples: Iterable[Sample]) -> Metric:
    """A counter named exactly so, behind the namespace."""
    return _family(name, text, "counter", samples)


def gauge(name: str, text: str, samples: Iterable[Sample]) -> Metric:
    """A gauge."""
    return _family(name, text, "gauge", samples)


def histogram(
    name: str, text: str, bounds: Sequence[float], samples: Iterable[tuple[Labels, Observed]]
) -> Metric:
    """A histogram; ``bounds`` are the upper ends of its buckets, without the infinite one."""
    family = Metric(NAMESPACE + name, text, "histogram")
    for labels, observed in samples:
        assert len(observed.counts) == len(bounds) + 1
        below = 0
        for bound, count in zip((*bounds, float("inf")), observed.counts, strict=True):
            below += count
            family.add_sample(family.name + "_bucket", {**labels, "le": go_float(bound)}, below)
        family.add_sample(family.name + "_sum", dict(labels), observed.total)
        family.add_sample(family.name + "_count", dict(labels), below)
    return family


def _family(name: str, text: str, kind: str, samples: Iterable[Sample]) -> Metric:
    family = Metric(NAMESPACE + name, text, kind)
    for labels, value in samples:
        family.add_sample(family.name, dict(labels), value)
    return family
