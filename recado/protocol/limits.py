"""Every number that bounds something, in one place, with the relations between them asserted.

A bound belongs here if crossing it is an error, a refusal or a wait.  Timings that operators
tune are settings (`recado.config`); the figures there are defaults, these are promises.
"""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# Names and texts -----------------------------------------------------------------------------
NAME_BYTES_MAX: Final = 64  # a user or channel name, UTF-8, after trimming
NODE_NAME_CHARACTERS_MAX: Final = 32  # a server's name
TEXT_BYTES_MAX: Final = 16 * KIB  # the text of one message, UTF-8
COMBINING_MARKS_MAX: Final = 8  # in a row, in what is shown and in new names
ID_BYTES_MAX: Final = 64  # a client-made message id, bin or UTF-8 str

# Lamport stamps (A13) ------------------------------------------------------------------------
LAMPORT_LIMIT: Final = 2**53 - 2**40  # stamps are in [1, limit): exact in a double, room to count
CLIENT_ADVANCE_PER_REQUEST: Final = 2**10  # how far one unsigned client clock may move ours
CLIENT_ADVANCE_BURST: Final = 2**14  # how far all of them may move it at once,
CLIENT_ADVANCE_PER_SECOND: Final = 2**8  # and how fast that allowance comes back

# Frames --------------------------------------------------------------------------------------
REQUEST_FRAME_BYTES_MAX: Final = 256 * KIB  # what clients may send
CURSOR_FRAME_BYTES_MAX: Final = 1 * MIB  # of `history` and `audit`: a cursor of 30,000 starts of servers
PEER_FRAME_BYTES_MAX: Final = 4 * MIB  # what servers may send each other; ZMQ_MAXMSGSIZE
NESTING_MAX: Final = 8  # maps and lists within each other
CLIENT_MAP_ITEMS_MAX: Final = 1024  # of a client's map, unless it is a version vector
PEER_MAP_ITEMS_MAX: Final = 65_536  # of a server's map, and of version vectors
ARRAY_ITEMS_MAX: Final = 4096  # of any list but those of a reply, which its frame bounds
NAMES_REPLY_BYTES_MAX: Final = 3 * MIB  # of names in a reply of `users` or `channels`; beyond it: `more`

# Log entries ---------------------------------------------------------------------------------
BODY_BYTES_MAX: Final = 64 * KIB  # of any kind, also unknown ones; texts stay under TEXT_BYTES_MAX
EXTRA_BYTES_MAX: Final = 4 * KIB  # of an entry's field for what later versions add
RULE_BODY_BYTES_MAX: Final = 4 * KIB  # of a rule about a user or a channel, canonical JSON
RULE_TEXT_BYTES_MAX: Final = 1 * KIB  # of one text in it: a channel's topic
REASON_BYTES_MAX: Final = 512  # of the reason given for a rule

# Users and channels --------------------------------------------------------------------------
USER_KEYS_MAX: Final = 32  # of one user, revoked ones and SSH keys too; beyond it: refused
SESSION_KEYS_MAX: Final = 256  # of one user, made by nodes for logins over SSH, revoked ones too
CHANNEL_RULES_MAX: Final = 10_000  # of one channel in all its life; beyond it only operators add some
INVITATIONS_MAX: Final = 1000  # neither used, taken back nor expired, of all users; beyond it: refused
BUCKETS_MAX: Final = 65_536  # users, channels, addresses whose rate is remembered, of each kind

# Replication ---------------------------------------------------------------------------------
PAGE_ENTRIES_MAX: Final = 2000  # one page of a pull
PAGE_BYTES_MAX: Final = 1 * MIB  # of one page of a pull
PUSH_ENTRIES_MAX: Final = 512  # one push
WINDOW_ENTRIES_MAX: Final = 1024  # pushed to one peer and not yet confirmed
WINDOW_BYTES_MAX: Final = 1 * MIB  # likewise
COMMIT_ENTRIES_MAX: Final = 512  # one group commit
PENDING_ENTRIES_MAX: Final = 4096  # appended and not yet committed; beyond it: `busy`
PENDING_CALLBACKS_MAX: Final = 2 * PENDING_ENTRIES_MAX  # that wait for a commit; beyond it: `busy`
ACK_WAITERS_MAX: Final = 4096  # writes that wait for copies; beyond it: `busy`
PLAIN_SYNC_BYTES_MAX: Final = 1 * MIB  # of one page of plain `sync`, about
PLAIN_SYNC_ITEMS_MAX: Final = 1000  # of one page of plain `sync`, over its four lists
HISTORY_MESSAGES_MAX: Final = 1000  # one page of history
HISTORY_MESSAGES_DEFAULT: Final = 100  # if no `limit` is asked for
HISTORY_SCAN_ENTRIES_MAX: Final = 5000  # entries looked at for one `since` page
HISTORY_PAGE_BYTES_MAX: Final = 1 * MIB  # one page of history, about
ABSENCE_CHECKS_MAX: Final = 256  # refusals that wait until the peers were asked

# Store ---------------------------------------------------------------------------------------
QUARANTINE_ROWS_MAX: Final = 10_000  # refused entries of peers kept for people to look at
MILESTONE_MS: Final = 10_000  # how exactly plain `sync {last_sync}` knows what had arrived when
MILESTONE_FINE_MS: Final = 7 * 86_400_000  # older ones are thinned at start, to one an hour
MILESTONE_COARSE_MS: Final = 3_600_000  # that hour
VERIFY_DIFFERENCES_MAX: Final = 100  # described one by one; the rest is counted
VERIFY_MATERIALISE_ENTRIES_MAX: Final = 300_000  # over all replicas: above, views are compared by digest
CURSOR_CHARACTERS_MAX: Final = 128 * KIB  # a plain `sync`'s `next_sync`
DISK_ROOM_BYTES_MIN: Final = 8 * MIB  # beside the reserve; with less a full disk stays full
SCRUB_ENTRIES: Final = 200  # checked at a time
SCRUB_SHARE: Final = 0.02  # of the time at most is spent on the daily check
DAMAGED_ENTRIES_MAX: Final = 10_000  # remembered until they are repaired; a scrub finds the others again
MEMBER_COMPLAINTS_MAX: Final = 64  # servers of other clusters that a warning was written about
STRANGER_SECONDS: Final = 10.0  # so long after its last request a server that is no member is told of
SNAPSHOT_FRAME_BYTES_MAX: Final = 1 * MIB  # of a snapshot's file in one reply
SNAPSHOT_IDLE_SECONDS: Final = 60.0  # so long is a snapshot's file kept for the next request
SNAPSHOT_MAKE_SECONDS: Final = 600.0  # a peer that has not made its snapshot by then is not waited for
SNAPSHOT_ATTEMPTS: Final = 3  # then a server goes on in pages
AUDIT_ORIGINS_MAX: Final = 16_384  # told of all at once
AUDIT_HASHES_MAX: Final = 256  # chain hashes told in one answer
BACKUP_MANIFEST_BYTES_MAX: Final = 8 * MIB  # what a backup says of itself: a vector of 65,536 origins
BACKUP_PARTS_MAX: Final = 64  # settings and keys in one backup
MERGE_ENTRIES: Final = 2000  # own entries put into a peer's snapshot at a time

# Search --------------------------------------------------------------------------------------
SEARCH_TEXT_BYTES_MAX: Final = 512  # what is searched for
SEARCH_TERMS_MAX: Final = 16  # words, phrases and beginnings in it
SEARCH_PREFIX_CHARACTERS_MIN: Final = 3  # before a star
SEARCH_MESSAGES_MAX: Final = 200  # one page of what was found
SEARCH_MESSAGES_DEFAULT: Final = 50  # if no `limit` is asked for
SEARCH_SECONDS: Final = 0.25  # one search; what it has by then is told as a part
SEARCH_WAITING_MAX: Final = 64  # searches that wait for the one under way; beyond it: `busy`
SEARCH_WAITING_PER_CLIENT_MAX: Final = 8  # of one key or address; beyond it: `busy`
SEARCH_HIDDEN_CHANNELS_MAX: Final = 64  # left out by the index; more are left out afterwards
SEARCH_WAIT_SECONDS: Final = 2.0  # a search that has waited longer is not begun: `busy`
SEARCH_SLICE_ENTRIES: Final = 2000  # put into the index at a time
SEARCH_SHARE: Final = 0.5  # of the time at most is spent on the index,
SEARCH_SHARE_BUSY: Final = 0.25  # and of a busy server's
SEARCH_BUSY_ENTRIES_PER_SECOND: Final = 1000.0  # committed make a server busy: then the index waits,
SEARCH_LAG_ENTRIES_MAX: Final = 50_000  # unless it is so far behind
SEARCH_ROOM_BYTES_MIN: Final = 64 * MIB  # beside the reserve; with less the index does not grow

# Loops ---------------------------------------------------------------------------------------
DRAIN_MESSAGES_MAX: Final = 256  # taken from one socket per wake
SUBSCRIPTIONS_PER_CLIENT_MAX: Final = 1024  # channels of one subscription in the library

# Queues of the wire (per connection; ZeroMQ's high-water marks) ------------------------------
MESSAGE_FRAMES_MAX: Final = 16  # frames of one multipart message, routing id included
FRAMES_SKIPPED_PER_TURN: Final = 4096  # of an over-long multipart message, before others have their turn
ASKS_OUT_MAX: Final = 1024  # requests of one asker without a reply; beyond it: refused
LISTENER_REPLIES_QUEUED_MAX: Final = 1024  # to one client that does not read; beyond it: dropped
LARGE_REPLY_BYTES: Final = 64 * KIB  # from here on replies are also bounded by their bytes:
LARGE_REPLIES_BYTES_QUEUED_MAX: Final = 16 * MIB  # to one client that does not read; beyond it: dropped
LISTENER_REQUESTS_QUEUED_MAX: Final = 256  # of one client; beyond it TCP holds the client back
PUBLICATIONS_QUEUED_MAX: Final = 10_000  # to one subscriber that does not read; beyond it: dropped
PUBLISHES_OF_REQUEST_MAX: Final = 256  # that share one request; beyond it: refused
PUBLICATIONS_OF_RUN_MAX: Final = 64  # that share a frame
RUN_BYTES_MAX: Final = 16 * KIB  # of them, unless one alone is larger: slow subscribers cost no more by runs
MEMORY_REQUESTS_QUEUED_MAX: Final = 8192  # at one listener of the in-memory network; beyond it: refused
RELEASED_ADDRESSES_MAX: Final = 64  # remembered, to wait for when they are bound again
TOPIC_FRAME_BYTES_MAX: Final = 1024  # a subscription at the broker; larger ones close the connection
TOPICS_WANTED_MAX: Final = 65_536  # a publisher knows of; beyond it: it takes everything for wanted
SUBSCRIPTIONS_HEARD_MAX: Final = 10_000  # and ended ones, before a publisher goes on with its publications

# Secured connections -------------------------------------------------------------------------
USER_ID_BYTES_MAX: Final = 255  # what ZAP can tell of who is at the other end
CONNECTIONS_REMEMBERED_MAX: Final = 16_384  # of which it is known who they are, and what they subscribed
HANDSHAKES_ASKED_MAX: Final = 1024  # that wait for somebody else's word; beyond it: not now
HANDSHAKE_ASK_SECONDS: Final = 4.0  # so long at most; below the handshake's own time-out
ALLOWANCES_MAX: Final = 16_384  # addresses and keys whose allowance is remembered
SUBSCRIPTIONS_PER_CONNECTION_MAX: Final = 2048  # granted at once; beyond it: refused
MISALIGNED_FRAMES_MAX: Final = 10_000  # read after junk at the XPUB before it is made anew at once
JUNK_BAN_SECONDS: Final = 600.0  # a key whose junk cost others their subscriptions stays out so long

# Broker --------------------------------------------------------------------------------------
BROKER_OUTSTANDING_MAX: Final = 4096  # requests forwarded and not yet answered; beyond it: `busy`
BROKER_OUTSTANDING_BYTES_MAX: Final = 64 * MIB  # likewise
KEYS_REMEMBERED_MAX: Final = 16_384  # that a broker has let in, or knows to be nobody's; beyond it: refused
WHOIS_SECONDS: Final = 1.25  # a server has to say whose a key is; it may ask its peers for one second

# Client library ------------------------------------------------------------------------------
KNOWN_SERVERS_MAX: Final = 64  # addresses that a client keeps
ROUND_TRIPS_MAX: Final = 256  # servers and kinds of requests whose usual time of answer is known
SESSION_ORIGINS_MAX: Final = 64  # origins of own writes, and of what was read, that reads insist on
DURABLE_ORIGINS_MAX: Final = 256  # origins of which a client remembers how many copies beacons told
SUBSCRIPTION_BUFFER_MESSAGES: Final = 1000  # shown by the machine and not yet taken by the reader
OUTBOX_MESSAGES_MAX: Final = 1000  # of one user that no server has confirmed; beyond it: refused
OUTBOX_AGE_SECONDS_MAX: Final = 7 * 86_400  # then a message is given up, and that is said (A11)
OUTBOX_LINES_SPARE: Final = 256  # lines done with before an outbox file is rewritten

# Clocks --------------------------------------------------------------------------------------
ADJUSTMENT_SECONDS_MAX: Final = 86_400.0  # one clock adjustment, either way
FIRST_ADJUSTMENT_SECONDS_MAX: Final = 100 * 365.25 * 86_400  # a clock never adjusted: dead battery
TIME_SECONDS_LIMIT: Final = 2**43  # a time that a probe may be answered with, either side of 1970
SUPERVISED_SECONDS: Final = 600.0  # so long after an adjustment with an epoch no plain one counts
PLAIN_ADJUSTMENT_SPACING_SECONDS: Final = 5.0  # between two plain ones

# Subscriptions (one machine each) ------------------------------------------------------------
SUBSCRIPTION_BUFFER_MAX: Final = 1024  # publications held back until history fills the gap
SUBSCRIPTION_IDENTS_MAX: Final = 8192  # shown messages remembered so that no copy is shown again
SUBSCRIPTION_ORIGINS_MAX: Final = 65_536  # components of a cursor
SUBSCRIPTION_COPIES_MAX: Final = 8  # places remembered of one message that was appended several times
SUBSCRIPTION_SUSPICIONS_MAX: Final = 4096  # origins that may have died with a disk, asked about at once
CURSOR_IDENTS_MAX: Final = 512  # of each target's cursor: the last messages read, to recognise copies

# Retries of clients --------------------------------------------------------------------------
RETRY_ATTEMPTS_MAX: Final = 1000  # of one request
BUSY_PAUSE_SECONDS_MAX: Final = 30.0  # what a server may ask a client to wait

# Registry ------------------------------------------------------------------------------------
REGISTERED_SERVERS_MAX: Final = 1024  # names that the reference gives ranks to
RANK_MAX: Final = 10**6  # a rank
ADDRESS_BYTES_MAX: Final = 256  # an address as a server states it

# Roster --------------------------------------------------------------------------------------
ROSTER_BYTES_MAX: Final = 2 * MIB  # its file: every server that can be registered, with keys to spare
ROSTER_KEYS_MAX: Final = 64  # keys, signing keys or addresses of one entry
LOCAL_ACCOUNTS_MAX: Final = 4096  # Unix users of a host that are told in its configuration
SSH_ACCOUNTS_MAX: Final = 64  # Unix users of a host whose login over SSH is the messenger

# Election ------------------------------------------------------------------------------------
EPOCH_LIMIT: Final = 2**53 - 2**40  # exact in a double
EPOCH_STEP_MAX: Final = 2**32  # epochs grow by ones: nobody uses the numbers up in one step

assert TEXT_BYTES_MAX + 16 * KIB <= REQUEST_FRAME_BYTES_MAX <= CURSOR_FRAME_BYTES_MAX <= PEER_FRAME_BYTES_MAX
assert TEXT_BYTES_MAX <= BODY_BYTES_MAX <= PAGE_BYTES_MAX
assert REASON_BYTES_MAX <= RULE_TEXT_BYTES_MAX < RULE_BODY_BYTES_MAX <= BODY_BYTES_MAX
assert PAGE_BYTES_MAX + REQUEST_FRAME_BYTES_MAX <= PEER_FRAME_BYTES_MAX
assert HISTORY_PAGE_BYTES_MAX + REQUEST_FRAME_BYTES_MAX <= PEER_FRAME_BYTES_MAX
assert NAMES_REPLY_BYTES_MAX + REQUEST_FRAME_BYTES_MAX <= PEER_FRAME_BYTES_MAX
assert 2 <= PLAIN_SYNC_ITEMS_MAX <= ARRAY_ITEMS_MAX  # a message may bring its channel along
assert SNAPSHOT_FRAME_BYTES_MAX + REQUEST_FRAME_BYTES_MAX <= PEER_FRAME_BYTES_MAX
assert PUSH_ENTRIES_MAX <= PAGE_ENTRIES_MAX <= ARRAY_ITEMS_MAX
assert PUSH_ENTRIES_MAX <= WINDOW_ENTRIES_MAX
assert MILESTONE_MS < MILESTONE_COARSE_MS < MILESTONE_FINE_MS
assert ASKS_OUT_MAX <= LISTENER_REPLIES_QUEUED_MAX  # a good asker's replies always fit
assert PEER_FRAME_BYTES_MAX <= LARGE_REPLIES_BYTES_QUEUED_MAX
assert NAME_BYTES_MAX < TOPIC_FRAME_BYTES_MAX
assert 3 * WHOIS_SECONDS < HANDSHAKE_ASK_SECONDS
assert SUBSCRIPTIONS_PER_CLIENT_MAX < SUBSCRIPTIONS_PER_CONNECTION_MAX
assert COMMIT_ENTRIES_MAX <= PENDING_ENTRIES_MAX
assert CLIENT_ADVANCE_PER_REQUEST <= CLIENT_ADVANCE_BURST
assert PEER_FRAME_BYTES_MAX <= BROKER_OUTSTANDING_BYTES_MAX
