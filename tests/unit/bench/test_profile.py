"""What a sample of perf counts for, and how a profile becomes a table."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.contacts.ways import Way
from bench.profile.below import part_of
from bench.profile.page import REST, table


@pytest.mark.parametrize(
    ("library", "symbol", "part"),
    [
        ("[kernel.kallsyms]", "[k] vfs_write", "kernel"),
        ("liblua5.4.so.0.0.0", "[.] luaV_execute", "liblua5.4.so.0.0.0"),
        ("liblua5.4.so.0.0.0", "[.] 0x0000000000012345", "liblua5.4.so.0.0.0"),
        ("perf-4711.map", "[.] $mod_roster:process_item/2", "mod_roster (Erlang)"),
        ("perf-4711.map", "[.] $'Elixir.Thing':do/1", "Erlang's emulator"),
        ("perf-4711.map", "[.] $global::call_nif_shared", "Erlang's emulator"),
        ("[JIT] tid 4711", "[.] $lists:reverse/2", "lists (Erlang)"),
        ("beam.smp", "[.] do_minor", "beam.smp"),
    ],
)
def test_what_a_sample_counts_for(library: str, symbol: str, part: str) -> None:
    assert part_of(library, symbol) == part


def test_a_table_has_the_largest_parts_first_and_the_rest_together() -> None:
    seen = {
        Way.PEER: Counter({"kernel": 60, "lua": 40}),
        Way.SHIPPED: Counter({"lua": 30, "kernel": 10, **{f"x{n}": 1 for n in range(20)}}),
    }
    made = table("By library", seen, {Way.PEER: 10.0, Way.SHIPPED: 6.0})
    assert made.columns == ("", "in-process module", "xmpp-moved")
    assert made.rows[:2] == (("kernel", "6.00", "1.00"), ("lua", "4.00", "3.00"))
    # 14 rows, two of them those above: of twenty parts of 0.1 ms, eight are left.
    assert made.rows[-2] == (REST, "0.00", "0.80")
    assert made.rows[-1] == ("**together**", "10.00", "6.00")


def test_a_way_that_was_not_seen_has_no_column() -> None:
    made = table("By file", {Way.PEER: Counter(), Way.LIMIT: Counter({"a": 1})}, {Way.LIMIT: 4.0})
    assert made.columns == ("", "empty component")
    assert made.rows == (("a", "4.00"), ("**together**", "4.00"))
