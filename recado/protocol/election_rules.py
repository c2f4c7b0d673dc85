"""The rules of the leased election as switches: so that tests can show what each one is for."""

import msgspec


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Every rule is on; a test that switches one off must find what goes wrong without it.

    Programs never switch any: without the first nine two coordinators, or none, are only a matter of
    time.  The last three are cheap defence: simulation finds nothing that breaks without them.
    """

    sticky: bool = True  # B6: a voter whose promise to another runs grants nothing
    boot_silence: bool = True  # B6: a restarted voter, which forgot its promises, grants nothing for a lease
    boot_listen: bool = True  # B1: a restarted member stands only after it would have heard a coordinator
    lease_from_send: bool = True  # B7, B8: the holder counts its lease from before it asked
    static_members: bool = True  # A24: a majority of the configured members, not of those that answer
    prevote: bool = True  # B3: ask before spending an epoch
    hold_down: bool = True  # B2: who keeps restarting waits ever longer before it deposes a lower one
    silent_defer: bool = True  # B2: who may not depose does not object either
    renew_announces: bool = True  # A28: renewals name the coordinator, announcements are only hints
    re_epoch: bool = True  # B9: a coordinator that meets a larger epoch asks for a new one
    re_epoch_keep: bool = True  # B9: ... and releases nothing if that fails
    abort_campaign: bool = True  # B11: a candidate that hears a higher coordinator stops
    unique_epochs: bool = True  # an epoch names its candidate and its candidate's start
    margin: bool = True  # the holder's lease is shorter than the promise, by what clocks may drift apart
    nonce: bool = True  # B4: abdicate only before one that proves to hear the coordinator
    release: bool = True  # who loses or leaves says so, so that nobody waits for a promise to run out


ALL_RULES = Rules()
