"""Cases in a loop are no weaker than tests of their own."""

from __future__ import annotations

import pytest

from tests.unit.cases import cases


def test_every_case_that_fails_is_named_and_the_others_run() -> None:
    ran = []

    def run() -> None:
        with cases() as case:
            for number in range(4):
                with case(f"number {number}"):
                    ran.append(number)
                    if number == 1:
                        pytest.fail("one")
                    assert number != 2

    with pytest.raises(BaseExceptionGroup, match="2 of 4 cases failed") as caught:
        run()
    assert ran == [0, 1, 2, 3]
    notes = [error.__notes__ for error in caught.value.exceptions]
    assert notes == [["case: number 1"], ["case: number 2"]]


def test_no_case_is_a_failure() -> None:
    with pytest.raises(AssertionError, match="no cases"), cases():
        pass
