"""Metrics of others that our alerts and dashboards ask for, each with its source.

https://docs.cilium.io/en/stable/observability/metrics/ describes them all; SOURCES adds where they are made.
"""

_METRICS = "https://github.com/cilium/cilium/blob/v1.20.0/pkg/hubble/metrics"

UPSTREAM = {
    "hubble_lost_events_total": f"{_METRICS}/metrics.go",
    "hubble_drop_total": f"{_METRICS}/drop/handler.go",
    "hubble_flows_processed_total": f"{_METRICS}/flow/handler.go",
    "hubble_dns_responses_total": f"{_METRICS}/dns/handler.go",
    "hubble_http_requests_total": f"{_METRICS}/http/handler.go",
}
"""Name to source. Cilium's agents serve them on port 9965 of each node."""
