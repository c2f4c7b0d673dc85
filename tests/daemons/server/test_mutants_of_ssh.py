"""The suite notices when a rule about logins over SSH is broken: see `test_mutants`."""

from collections.abc import Callable
from typing import Any

import pytest
import test_ssh_accounts as ssh
from test_mutants import Mutant, fails

from daemons.server.accounts import Accounts
from daemons.server.key_rules import Keys
from recado.protocol import policy
from recado.protocol.identities import Identities


def _always(result: Any) -> Callable[[Any], Any]:
    return lambda _original: lambda *_args, **_more: result


MUTANTS: dict[str, Mutant] = {
    "lets sessions outlive their SSH key": Mutant(
        Identities, "_is_mine", _always(True), ssh.test_one_revocation_ends_all_of_it
    ),
    "lets sessions make keys": Mutant(
        Identities, "session_of", _always(set()), ssh.test_a_session_makes_no_keys
    ),
    "gives the account any key": Mutant(
        Keys, "_check_session", _always(None), ssh.test_the_account_can_do_nothing_else
    ),
    "knows every Unix user as the account": Mutant(
        Accounts,
        "_local",
        lambda _original: lambda _self, principal: principal._replace(name=policy.SSH_ACCOUNT),
        ssh.test_the_account_can_do_nothing_else,
    ),
    "lets a revoked SSH key come back": Mutant(
        Identities, "addition_problem", _always(None), ssh.test_one_revocation_ends_all_of_it
    ),
    "adds an SSH key in name only": Mutant(
        Keys, "_check_first", _always(None), ssh.test_an_ssh_key_is_one_user_s
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_of_ssh_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test passes with the rule and fails without it."""
    mutant = MUTANTS[name]
    assert not fails(mutant.test, mutant.arguments), "it fails anyway"
    original = getattr(mutant.owner, mutant.name)
    monkeypatch.setattr(mutant.owner, mutant.name, mutant.broken(original))
    assert fails(mutant.test, mutant.arguments), f"nobody noticed that the server {name}"
