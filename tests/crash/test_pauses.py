"""A worker that was held up while another one took over wakes, and does nothing more."""

import pytest

from core.db_state_manager.states import SignalStatus
from tests.fixtures.account_proof import sent_once
from tests.fixtures.live_service import GOLD
from tests.fixtures.living_service import Living

# Not between the last look at the clock and the send: a broker that takes no name of ours for an
# order cannot tell the two apart, which is why a send without an answer is waited for so long.
POINTS = (
    "1 after claim_signals",
    "1 before decide_and_reserve",
    "1 after decide_and_reserve",
    "1 after take_intent",
    "1 after move_intent",
    "1 before record_send_intent",
    "1 after place_order",
    "1 after record_order_id",
    "1 before book_fill",
    "1 before complete_intent",
    "1 before finish_signal",
)
_OFTEN = "1 before record_send_intent"


@pytest.mark.parametrize(
    "point",
    [pytest.param(each, marks=() if each == _OFTEN else pytest.mark.slow) for each in POINTS],
)
def test_a_worker_that_wakes_too_late_does_nothing_more(living: Living, point: str) -> None:
    for kind in ("BASE_ENTRY", "EXIT"):
        before = len(living.proof.orders())
        payload = living.alert(kind, GOLD)
        with living.stopped_at(point, payload) as sent:
            other = living.by_bar_time(payload)
            living.end_of(other)
        living.settle()
        assert sent.signal_id == other
        again = living.web.deliver(payload)
        assert (again["status"], again["signal_id"]) == ("duplicate", other)
        living.settle()
        row = living.end_of(other)
        assert row.status is SignalStatus.EXECUTED, row.outcome
        new = living.proof.orders()[before:]
        assert len(new) == 1, new
        assert sent_once(new)
    assert living.proof.held() == {}
