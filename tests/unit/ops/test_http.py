"""Metrics and health over HTTP, on loopback."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading

import pytest

from component.engine.ports import Gauges
from component.ops.http import Health, HttpServer, ListenError
from component.ops.metrics import Metrics

LOOPBACK = ("127.0.0.1", 0)


def ask(port: int, path: str, method: str = "GET", host: str = "127.0.0.1") -> tuple[int, str]:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def well() -> Health:
    return Health(True, {"stream": "up"})


def test_metrics_show_what_happened() -> None:
    metrics = Metrics()
    metrics.decided("take", "verified", 0.2)
    metrics.decided("release", "deadline", 45.0)
    metrics.outcome(0.01)
    metrics.open_requests(3)
    metrics.fetched("statement", 0.1)
    metrics.link_up(True)
    metrics.reconnected()
    metrics.committed(7, 0.004)
    metrics.watch_link(lambda: 11, lambda: 3)
    with HttpServer(LOOPBACK, metrics.registry, well) as server:
        status, text = ask(server.port, "/metrics")
    assert status == 200
    lines = text.splitlines()
    for expected in (
        'xmpp_moved_moves_total{reason="verified",verdict="take"} 1.0',
        'xmpp_moved_moves_total{reason="deadline",verdict="release"} 1.0',
        "xmpp_moved_open_requests 3.0",
        'xmpp_moved_fetches_total{result="statement"} 1.0',
        "xmpp_moved_fetch_seconds_count 1.0",
        "xmpp_moved_verdict_seconds_count 2.0",
        "xmpp_moved_outcome_seconds_count 1.0",
        "xmpp_moved_link_up 1.0",
        "xmpp_moved_link_reconnects_total 1.0",
        "xmpp_moved_journal_commit_seconds_count 1.0",
        "xmpp_moved_journal_batch_size_sum 7.0",
        "xmpp_moved_queue_depth 11.0",
        "xmpp_moved_stanzas_refused 3.0",
    ):
        assert expected in lines, expected
    assert "process_resident_memory_bytes" in text


def test_two_components_in_a_process_do_not_meet() -> None:
    first, second = Metrics(), Metrics()
    first.open_requests(5)
    assert second.registry.get_sample_value("xmpp_moved_open_requests") == 0


def test_metrics_are_the_engines_gauges() -> None:
    gauges: Gauges = Metrics()
    gauges.open_requests(1)


async def test_health_runs_on_the_event_loop() -> None:
    threads: list[int] = []

    def health() -> Health:
        threads.append(threading.get_ident())
        return Health(len(threads) == 1, {"open_requests": 4})

    loop = asyncio.get_running_loop()
    with HttpServer(LOOPBACK, Metrics().registry, health, loop=loop) as server:
        good = await asyncio.to_thread(ask, server.port, "/health")
        bad = await asyncio.to_thread(ask, server.port, "/health")
    assert good == (200, '{"ok": true, "open_requests": 4}\n')
    assert bad == (503, '{"ok": false, "open_requests": 4}\n')
    assert set(threads) == {threading.get_ident()}


async def test_health_check_that_fails_is_unhealthy() -> None:
    def health() -> Health:
        raise KeyError("x")

    loop = asyncio.get_running_loop()
    with HttpServer(LOOPBACK, Metrics().registry, health, loop=loop) as server:
        status, text = await asyncio.to_thread(ask, server.port, "/health")
    assert status == 503
    assert json.loads(text) == {"ok": False, "error": "the health check failed: KeyError"}


def test_loop_that_is_closed_is_unhealthy() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    with HttpServer(LOOPBACK, Metrics().registry, well, loop=loop) as server:
        status, text = ask(server.port, "/health")
    assert status == 503
    assert json.loads(text)["error"] == "the event loop is closed"


def test_loop_that_is_stuck_is_unhealthy() -> None:
    loop = asyncio.new_event_loop()  # never run
    try:
        server = HttpServer(LOOPBACK, Metrics().registry, well, loop=loop, health_seconds=0.05)
        with server:
            status, text = ask(server.port, "/health")
    finally:
        loop.close()
    assert status == 503
    assert json.loads(text)["error"] == "the event loop does not answer"


def test_other_paths_and_methods() -> None:
    with HttpServer(LOOPBACK, Metrics().registry, well) as server:
        assert ask(server.port, "/") == (404, "Try /metrics or /health.\n")
        assert ask(server.port, "/health", "POST")[0] == 405
        assert ask(server.port, "/metrics", "POST")[0] == 405


def test_port_in_use_names_the_option() -> None:
    with socket.socket() as taken:
        taken.bind(LOOPBACK)
        taken.listen()
        port = taken.getsockname()[1]
        server = HttpServer(("127.0.0.1", port), Metrics().registry, well)
        with pytest.raises(ListenError) as caught:
            server.start()
    text = str(caught.value)
    assert f'[metrics] listen = "127.0.0.1:{port}" cannot be used' in text
    assert "choose another port" in text


def test_address_of_another_machine() -> None:
    with pytest.raises(ListenError, match="this machine has no such address"):
        HttpServer(("192.0.2.1", 9347), Metrics().registry, well).start()


def test_stop_frees_the_port_and_may_be_repeated() -> None:
    server = HttpServer(LOOPBACK, Metrics().registry, well)
    server.stop()
    server.start()
    port = server.port
    server.stop()
    server.stop()
    with HttpServer(("127.0.0.1", port), Metrics().registry, well) as again:
        assert again.port == port


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_ipv6() -> None:
    try:
        server = HttpServer(("::1", 0), Metrics().registry, well)
        server.start()
    except ListenError:
        pytest.skip("no IPv6 loopback")
    try:
        assert ask(server.port, "/health", host="::1")[0] == 200
    finally:
        server.stop()
