"""Trees of spans: who is whose child, what is critical, what belongs to whom."""

from __future__ import annotations

import itertools

import pytest

from sls_tracing.backend.ui.sidecars import owners
from sls_tracing.backend.ui.timeline import heat, matching, timeline_data
from sls_tracing.backend.ui.trace_diff import differences, most_telling
from sls_tracing.backend.ui.trace_tree import TraceTree
from sls_tracing.backend.ui.trace_views import flame, statistics


def tree_of(make_span, *spans):
    """Spans as (id, parent, begin ms, length ms), and keyword arguments as a fifth."""
    made = []
    for number, parent, begin, length, *more in spans:
        options = more[0] if more else {}
        made.append(make_span(options.pop("name", f"op{number}"), span_id=number, parent_id=parent, start=100 + begin / 1e3, duration=length / 1e3, **options))  # fmt: skip
    return TraceTree(made)


def shape(tree):
    return [(node.span.context.span_id, node.depth) for node in tree.nodes]


def test_children_follow_their_parents_by_time(make_span):
    tree = tree_of(make_span, (3, 1, 5, 1), (1, None, 0, 10), (4, 2, 2, 1), (2, 1, 1, 3))
    assert shape(tree) == [(1, 0), (2, 1), (4, 2), (3, 1)]
    assert [node.descendants for node in tree.nodes] == [3, 1, 0, 0]


def test_spans_without_their_parent_are_roots(make_span):
    tree = tree_of(make_span, (1, None, 0, 10), (3, 99, 2, 1))
    assert shape(tree) == [(1, 0), (3, 0)]
    assert tree.orphans == 1


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))), ids=str)
def test_a_circle_becomes_a_tree_of_its_first_span(make_span, order):
    """Whatever the order of arrival, every span is there once."""
    parents = {1: 3, 2: 1, 3: 2}
    tree = tree_of(make_span, *((n, parents[n], n, 1) for n in order))
    assert shape(tree) == [(1, 0), (2, 1), (3, 2)]
    assert shape(tree_of(make_span, (1, 1, 0, 1))) == [(1, 0)]


def test_a_chain_of_many_thousand_spans_is_no_recursion(make_span):
    tree = tree_of(make_span, *((n, n - 1 or None, n / 100, 500) for n in range(1, 5001)))
    assert tree.depth == 5000
    assert len(timeline_data(tree)["spans"]) == 5000
    assert flame(tree)


def test_the_two_halves_of_a_shared_span_are_parent_and_child(make_span):
    """Zipkin's server takes its client's id: it stands below it, and its children below it."""
    client, server = {"tags": {"span.kind": "client"}}, {"tags": {"span.kind": "server"}}
    tree = tree_of(make_span, (1, None, 0, 10), (2, 1, 1, 8, client), (2, 1, 2, 6, server), (3, 2, 3, 1))
    assert [(node.key[-3:], node.depth) for node in tree.nodes] == [("001", 0), ("002", 1), ("2.1", 2), ("003", 3)]


def test_the_critical_path_is_what_the_request_waited_for(make_span):
    """Of two that ran beside each other, the one that ended last; of what came after, all; together the whole time."""
    tree = tree_of(make_span, (1, None, 0, 10), (2, 1, 1, 3), (3, 1, 2, 4), (4, 1, 7, 2))
    critical = {
        node.span.context.span_id: [(round(a * 1e3), round(b * 1e3)) for a, b in sorted(node.critical)]
        for node in tree.nodes
    }
    assert critical == {1: [(0, 2), (6, 7), (9, 10)], 2: [], 3: [(2, 6)], 4: [(7, 9)]}


def test_own_time_is_without_children_and_overlaps_count_once(make_span):
    tree = tree_of(make_span, (1, None, 0, 10), (2, 1, 1, 4), (3, 1, 3, 4), (4, 1, 9, 5))
    assert tree.root.self_time == pytest.approx(0.003)
    assert [heat(node, tree) for node in tree.nodes] == [2, 3, 3, 3]


def test_sidecars_belong_to_the_service_that_is_there():
    """A name with a namespace after it, if what stands before is a service itself; a gateway stays itself."""
    names = ["shop", "shop.default", "gateway.istio-system", "a.b", ".default", "shop."]
    assert owners(names) == {**{name: name for name in names}, "shop.default": "shop"}


def test_sidecars_are_marked_by_their_component(make_span):
    proxy = {"service": "shop.default", "tags": {"component": "proxy"}}
    tree = tree_of(make_span, (1, None, 0, 10, dict(proxy)), (2, 1, 1, 8, {"service": "shop"}), (3, 2, 2, 1, {"service": "shop.default"}))  # fmt: skip
    assert [node.is_sidecar for node in tree.nodes] == [True, False, False]
    assert tree.colours["shop"] == tree.colours["shop.default"]
    flags = [span[5] for span in timeline_data(tree)["spans"]]
    assert flags == [2, 0, 0]


def test_statistics_add_up(make_span):
    """Own times of all operations make the whole trace's time, if nothing ran beside another thing."""
    tree = tree_of(make_span, (1, None, 0, 10), (2, 1, 1, 4, {"name": "x", "tags": {"error": True}}), (3, 1, 6, 2, {"name": "x"}))  # fmt: skip
    first, second = statistics(tree)
    assert (first.operation, first.spans, first.errors) == ("x", 2, 1)
    assert first.own + second.own == pytest.approx(0.010)
    assert first.share == pytest.approx(60)
    (whole,) = statistics(tree, by_service=True)
    assert whole.spans == 3


def test_finding_looks_everywhere_and_ignores_case(make_span):
    tree = tree_of(make_span, (1, None, 0, 10, {"tags": {"http.url": "/A"}}), (2, 1, 1, 4, {"process_tags": {"zone": "EU"}}))  # fmt: skip
    assert matching(tree, "HTTP.url=/a") == ["0000000000000001"]
    assert matching(tree, " eu ") == ["0000000000000002"]
    assert matching(tree, "") == []


def test_differences_are_of_places_in_the_tree(make_span):
    """The same operation under two callers is two places; small changes are noise."""
    first = tree_of(make_span, (1, None, 0, 100), (2, 1, 1, 10, {"name": "db"}), (3, 1, 20, 30, {"name": "gone"}))
    second = tree_of(make_span, (1, None, 0, 103), (2, 1, 1, 60, {"name": "db"}), (4, 2, 2, 5, {"name": "db"}))
    found = {(each.operation, each.depth): each.kind for each in differences(first, second)}
    assert found == {("op1", 0): "same", ("db", 1): "slower", ("db", 2): "added", ("gone", 1): "removed"}
    assert {each.kind for each in differences(second, first)} == {"same", "faster", "removed", "added"}


def test_most_telling_keeps_callers(make_span):
    first = tree_of(make_span, (1, None, 0, 100), (2, 1, 0, 90), (3, 2, 0, 10), (4, 2, 20, 10))
    second = tree_of(make_span, (1, None, 0, 100), (2, 1, 0, 90), (3, 2, 0, 10), (4, 2, 20, 70))
    found = most_telling(differences(first, second), 1)
    assert [each.operation for each in found] == ["op1", "op2", "op4"]
