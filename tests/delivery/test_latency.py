from gcnas.report import write_report
from gcnas.result import Result


def test_delivered_network_is_timed(result: Result) -> None:
    metrics = result.metrics
    assert 0 < metrics["latency_ms"] <= metrics["latency_p95_ms"] < 1_000
    assert metrics["latency_threads"] == 1
    assert "latency_predicted_ms" not in metrics  # nobody asked for a model


def test_measured_beside_predicted_in_the_report(result: Result) -> None:
    (result.run / "report.html").unlink()
    assert "95th percentile" in write_report(result.run).read_text()
