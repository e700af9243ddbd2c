"""What Prometheus reads."""

from pneg.errors import needs

with needs("serve"):
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Counts and times of one server.

    Attributes:
        requests: by `status`, that of HTTP; 499 where the client went away.
        request_seconds: from the headers to the answer, for requests that got a ranking.
        calls: of the model.
        call_seconds: of a call.
        call_requests: scored together in a call.
        call_candidates: scored together in a call.
        candidates: that were scored.
        waiting: candidates that wait for the model now.
    """

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        ProcessCollector(registry=own)
        self.requests = Counter("pneg_requests", "Requests to rank, by status", ["status"], registry=own)
        self.request_seconds = Histogram(
            "pneg_request_seconds", "Seconds to a ranking", registry=own, buckets=SECONDS
        )
        self.calls = Counter("pneg_model_calls", "Calls of the model", registry=own)
        self.call_seconds = Histogram("pneg_model_call_seconds", "Seconds of a call", registry=own, buckets=SECONDS)
        self.call_requests = Histogram(
            "pneg_model_call_requests", "Requests scored together", registry=own, buckets=COUNTS
        )
        self.call_candidates = Histogram(
            "pneg_model_call_candidates", "Candidates scored together", registry=own, buckets=COUNTS
        )
        self.candidates = Counter("pneg_candidates", "Candidates scored", registry=own)
        self.waiting = Gauge("pneg_waiting_candidates", "Candidates that wait for the model", registry=own)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)

    def called(self, requests: int, candidates: int, seconds: float) -> None:
        """Count a call of the model."""
        self.calls.inc()
        self.candidates.inc(candidates)
        self.call_seconds.observe(seconds)
        self.call_requests.observe(requests)
        self.call_candidates.observe(candidates)
