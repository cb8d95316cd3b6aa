"""Tokens open what they are for and nothing else; weak ones and open files are refused."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigInvalid
from live.access import (
    HASHES_FILE,
    TOKENS_FILE,
    Access,
    CallerRefused,
    Role,
    TokenMissing,
    hash_token,
    open_access,
    refuse_weak,
)

STRONG = "kJ8vQz2LmN4rTx6WbY1cDf3GhP5sAe7U"
ACCESS = Access({role: hash_token(f"of the {role}") for role in Role})


@pytest.mark.parametrize(
    ("needed", "opened_by"),
    [
        (Role.VIEWER, {Role.VIEWER, Role.OPERATOR}),
        (Role.OPERATOR, {Role.OPERATOR}),
        (Role.WEBHOOK, {Role.WEBHOOK}),
    ],
)
def test_a_token_opens_what_it_is_for(needed: Role, opened_by: set[Role]) -> None:
    found = {role for role in Role if ACCESS.allows(f"of the {role}", needed)}
    assert found == opened_by


@given(st.one_of(st.none(), st.text(st.characters())), st.sampled_from(Role))
def test_any_other_token_opens_nothing(token: str | None, needed: Role) -> None:
    assert not ACCESS.allows(token, needed)


@pytest.mark.parametrize("token", [None, "", "of the viewer"])
@pytest.mark.parametrize("needed", Role)
def test_nobody_is_let_in_while_no_token_is_set(token: str | None, needed: Role) -> None:
    """Incident 59: an empty allow-list let everybody in."""
    assert not Access({}).allows(token, needed)


def test_an_empty_token_is_none_even_where_its_hash_is_kept() -> None:
    assert not Access({Role.OPERATOR: hash_token("")}).allows("", Role.OPERATOR)


def test_what_is_demanded_tells_no_token_from_a_wrong_one() -> None:
    ACCESS.demand("of the operator", Role.VIEWER)
    for nothing in (None, ""):
        with pytest.raises(TokenMissing):
            ACCESS.demand(nothing, Role.VIEWER)
    with pytest.raises(CallerRefused):
        ACCESS.demand("of the viewer", Role.OPERATOR)


def test_the_first_start_makes_tokens_that_later_starts_know(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "access"
    first = open_access(folder)
    tokens = json.loads((folder / TOKENS_FILE).read_text())
    second = open_access(folder)
    assert set(tokens) == set(Role)
    for role in Role:
        assert len(tokens[role]) == 64
        assert first.allows(tokens[role], role)
        assert second.allows(tokens[role], role)
    assert len(set(tokens.values())) == len(Role)


def test_only_their_owner_may_read_the_files_and_the_service_keeps_hashes(tmp_path: Path) -> None:
    open_access(tmp_path)
    for name in (TOKENS_FILE, HASHES_FILE):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {TOKENS_FILE, HASHES_FILE}
    kept = (tmp_path / HASHES_FILE).read_text()
    words = json.loads((tmp_path / TOKENS_FILE).read_text()).values()
    assert not any(word in kept for word in words)


def test_the_words_may_be_deleted_when_they_are_handed_out(tmp_path: Path) -> None:
    open_access(tmp_path)
    tokens = json.loads((tmp_path / TOKENS_FILE).read_text())
    (tmp_path / TOKENS_FILE).unlink()
    assert open_access(tmp_path).allows(tokens[Role.VIEWER], Role.VIEWER)
    assert not (tmp_path / TOKENS_FILE).exists()


def test_a_start_that_died_between_the_files_is_made_good(tmp_path: Path) -> None:
    open_access(tmp_path)
    (tmp_path / HASHES_FILE).unlink()
    access = open_access(tmp_path)
    tokens = json.loads((tmp_path / TOKENS_FILE).read_text())
    assert access.allows(tokens[Role.WEBHOOK], Role.WEBHOOK)


def test_many_first_starts_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: open_access(tmp_path), range(16)))
    word = json.loads((tmp_path / TOKENS_FILE).read_text())[Role.OPERATOR]
    assert all(access.allows(word, Role.OPERATOR) for access in found)


@pytest.mark.parametrize("name", [HASHES_FILE, TOKENS_FILE])
def test_files_that_others_may_read_are_refused(tmp_path: Path, name: str) -> None:
    open_access(tmp_path)
    (tmp_path / name).chmod(0o640)
    with pytest.raises(ConfigInvalid, match="chmod 600"):
        open_access(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"viewer": 1}', '{"admin": "a"}', "\xff{"])
def test_hashes_that_cannot_be_read_let_nobody_in(tmp_path: Path, content: str) -> None:
    open_access(tmp_path)
    (tmp_path / HASHES_FILE).write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigInvalid, match="restore it"):
        open_access(tmp_path)


def test_a_chosen_secret_stands_in_for_the_made_one(tmp_path: Path) -> None:
    access = open_access(tmp_path, {Role.WEBHOOK: STRONG})
    tokens = json.loads((tmp_path / TOKENS_FILE).read_text())
    assert access.allows(STRONG, Role.WEBHOOK)
    assert not access.allows(tokens[Role.WEBHOOK], Role.WEBHOOK)
    assert access.allows(tokens[Role.VIEWER], Role.VIEWER)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "short",
        STRONG[:31],
        "a" * 64,
        "abababababababababababababababababababab",
        "change-me-before-you-go-live-please-9",
        "your_webhook_secret_goes_here_quickly",
        "0123456789-0123456789-0123456789-xyz",
        "MySuperPasswordThatNobodyKnows987654321",
    ],
)
def test_a_weak_secret_is_refused_and_not_told(tmp_path: Path, secret: str) -> None:
    """Incident 59: default keys were committed in a start script."""
    with pytest.raises(ConfigInvalid, match=r"tokens\.webhook") as refused:
        open_access(tmp_path, {Role.WEBHOOK: secret})
    assert not secret or secret not in str(refused.value)
    assert open_access(tmp_path, {Role.WEBHOOK: secret}, weak_allowed=True)


def test_a_strong_secret_passes_and_opens(tmp_path: Path) -> None:
    refuse_weak(Role.OPERATOR, STRONG)
    assert open_access(tmp_path, {Role.OPERATOR: STRONG}).allows(STRONG, Role.OPERATOR)


def test_two_roles_never_share_a_secret(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="of its own"):
        open_access(tmp_path, {Role.VIEWER: STRONG, Role.OPERATOR: STRONG})


def test_access_does_not_print_what_it_holds() -> None:
    assert repr(ACCESS) == "Access(viewer, operator, webhook)"
