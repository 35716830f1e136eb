"""Two daemons, stock and ours, that are told the same and must answer the same, step by step.

A sequence is a list of steps on numbered connections:

    ("open", 0, "::1")      dial, from and to that place; without it the first send dials 127.0.0.1
    ("send", 0, b"...")     one segment
    ("end", 0, b"...")      a segment, and no more will come: half-closed at once
    ("leave", 0, b"...")    a segment, then closed at once
    ("reset", 0)            closed with RST

A connection that the daemon has ended is dialled anew, as before, by the next step on it. After
each step both daemons are asked for their names, which also shows that they have acted on the
step. What each connection has received, whether it is open, has ended or was reset, the list of
names and, when the daemon has ended, its status must be equal. Creations, descriptors in DUMP and
the daemon's own port are masked, if they are as they must be; creations begin with the clock and
grow alike, so those of 32 bits must also be close to each other.

That the answer to NAMES comes after what the step did needs some care, as nothing here waits for
time to pass. All run on one CPU, so what is sent first arrives first. Ours takes what it has
accepted as it comes, but reads a new connection as soon as it accepts it: it is asked on a
connection that it accepted before it answered the last question. Stock accepts all there is, then
reads what has come, by the number of the place that each connection has in its table, which is the
lowest that was free: it is asked on a new connection, and once more if that comes before the step's.
As epoll may still turn the order round when something comes while it is looked at, whoever differs
is asked again, and what comes then counts too: what differs stays different.
"""

import contextlib
import os
import re
import socket
import struct
import subprocess
import time
from collections import namedtuple

from . import wire
from .epmd import Epmd
from .namespace import enter_and_call, family_of, in_thread

LOOPBACK = "127.0.0.1"
NAMES = wire.names()
PATIENCE = struct.pack("ll", 20, 0)  # of a daemon that answers nothing
LINGER_RESET = struct.pack("ii", 1, 0)
OPEN, ENDED, RESET = "open", "ended", "reset"
GONE = BrokenPipeError, ConnectionResetError, ConnectionRefusedError
SOCKETS_MADE = 64  # sockets made at a time in another namespace
SHRINK_SECONDS = 20
HISTORY_MAX = 400
ASK_AGAIN = 2
CREATIONS_APART = 5  # the two daemons may look at the clock in different seconds

Seen = namedtuple("Seen", "names connections status")


class Difference(Exception):
    """The two are not alike after the last of these steps."""

    def __init__(self, steps, stock, ours):
        super().__init__(f"stock: {describe(stock, ours)}\nours:  {describe(ours, stock)}")
        self.steps = steps


def describe(seen, other):
    """What of it is not as with the other, from where it is not."""
    texts = []
    for field, mine, theirs in zip(Seen._fields, seen, other):
        if mine != theirs:
            mine, theirs = repr(mine), repr(theirs)
            same = max(len(os.path.commonprefix([mine, theirs])) - 60, 0)
            texts.append(f"{field} {'...' if same else ''}{mine[same:same + 300]}")
    return ", ".join(texts)


@contextlib.contextmanager
def one_cpu(number=0):
    """This thread, and what it starts, on one of the CPUs that it has."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[number % len(before)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# Where connections come from


class Places:
    """Sockets by the address that they dial; those of another network namespace are made there."""

    def __init__(self, here=(LOOPBACK,), elsewhere=(), netns=None):
        self.here, self.elsewhere, self.netns = tuple(here), tuple(elsewhere), netns
        self._made = {}

    def dial(self, place, port):
        word, _, address = place.rpartition(" ")
        family = family_of(address)
        connection = self._elsewhere(family) if word else socket.socket(family, socket.SOCK_STREAM)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, PATIENCE)
        try:
            connection.connect((address, port))
        except OSError:
            connection.close()
            raise
        return connection

    def _elsewhere(self, family):
        made = self._made.setdefault(family, [])
        if not made:
            made += in_thread(enter_and_call, self.netns, make_sockets, (family, SOCKETS_MADE))
        return made.pop()

    def names(self):
        return [*self.here, *(f"from elsewhere to {address}" for address in self.elsewhere)]


def make_sockets(family, count):
    return [socket.socket(family, socket.SOCK_STREAM) for _ in range(count)]


# What differs always


def mask(data, port):
    """The same bytes for both daemons, where they are allowed to differ."""
    if data.startswith(port):
        return b"PORT" + re.sub(rb"fd = \d+( ?\n\0)", rb"fd = N\1", data[4:])
    if is_wide_creation(data):
        return b"v\0 creation"
    if len(data) == 4 and data[:2] == b"y\0" and data[2:] in (b"\0\1", b"\0\2", b"\0\3"):
        return b"y\0 creation"
    return data


def is_wide_creation(data):
    return len(data) == 6 and data[:2] == b"v\0" and data[2:] >= b"\0\0\0\4"


def is_cut_by_reset(stock, ours):
    """Stock writes a list line by line, of which Nagle's algorithm may hold back the last ones; if it
    then closes on unread surplus, so with a reset, they are lost."""
    if stock._replace(connections=None) != ours._replace(connections=None):
        return False
    if stock.connections.keys() != ours.connections.keys():
        return False
    return all(mine == ours.connections[number] or is_cut(mine, ours.connections[number])
               for number, mine in stock.connections.items())


def is_cut(stock, ours):
    (mine, my_state), (theirs, their_state) = stock, ours
    lines = mine.rpartition(b"\n")[0]
    return my_state == their_state == RESET and mine.startswith(b"PORT") and theirs.startswith(lines)


# One daemon


class Side:
    """One of the two daemons, and the connections of the sequence that is played."""

    def __init__(self, binary, is_stock, places, args=(), env=None):
        self.binary, self.is_stock, self.places = binary, is_stock, places
        self.args, self.env = args, dict(env or {})
        self.connections, self.places_of, self.slots, self.streams = {}, {}, {}, {}
        self.names = b""
        self.start()

    def start(self):
        self.epmd = Epmd(self.binary, args=["-packet_timeout", "3600", *self.args], env=self.env)
        self.port = self.epmd.port
        self._port_bytes = self.port.to_bytes(4, "big")
        self._reserve()

    def stop(self):
        for connection in [*self.connections.values(), self._asker, self._next_asker]:
            if connection:
                connection.close()
        self.connections, self._asker = {}, None
        return self.epmd.stop()

    def _reserve(self):
        """Dial what the first question will be asked on, and see to it that it is accepted."""
        self._asker = self._next_asker = None
        if not self.is_stock:
            self._next_asker = self.places.dial(LOOPBACK, self.port)
            self.epmd.names()

    # Steps

    def act(self, step):
        """Take the step; how many questions it takes until it has been acted on."""
        verb, number, *rest = step
        self._heard = {}
        with contextlib.suppress(*GONE):
            getattr(self, f"_{verb}")(number, *rest)
        data = next(iter(rest), b"") if verb in ("send", "end", "leave") else b""
        # What follows a request at once, surplus or the end, is another event.
        events = 1 + self._goes_beyond(number, data) + (verb != "send" and bool(data))
        return events + (self.is_stock and self._free_slot() < self.slots[number])

    def _goes_beyond(self, number, data):
        """Whether the data is more than what the length, with which the stream began, says."""
        head, total = self.streams[number]
        head, total = (head + data)[:2], total + len(data)
        self.streams[number] = head, total
        return len(head) == 2 and total > 2 + int.from_bytes(head, "big")

    def _connection(self, number):
        if number not in self.connections:
            place = self.places_of.setdefault(number, LOOPBACK)
            self.slots[number], self.streams[number] = self._free_slot(), (b"", 0)
            self.connections[number] = self.places.dial(place, self.port)
        return self.connections[number]

    def _free_slot(self):
        taken = self.slots.values()
        return next(slot for slot in range(len(taken) + 1) if slot not in taken)

    def _open(self, number, place=LOOPBACK):
        if number not in self.connections:
            self.places_of[number] = place
        self._connection(number)

    def _send(self, number, data):
        self._connection(number).send(data)

    def _end(self, number, data=b""):
        connection = self._connection(number)
        if data:
            connection.send(data)
        with contextlib.suppress(OSError):  # of a connection that came to its end meanwhile
            connection.shutdown(socket.SHUT_WR)

    def _leave(self, number, data=b""):
        connection = self._connection(number)
        del self.connections[number]
        with connection:
            if data:
                connection.send(data)

    def _reset(self, number):
        connection = self._connection(number)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        del self.connections[number]
        connection.close()

    # What came of them

    def ask(self, place):
        """Ask for the names, from where the step was; without an answer the daemon is gone."""
        with contextlib.suppress(*GONE):
            if self.is_stock:
                self._asker = self.places.dial(place, self.port)
            else:
                self._asker, self._next_asker = self._next_asker, None
                self._next_asker = self.places.dial(LOOPBACK, self.port)
            if self._asker:
                self._asker.send(NAMES)

    def hear(self):
        """All there is to hear of this step after the last answer."""
        status = None if self.names else self._wait_end()
        for number in list(self.connections):
            data, state = drain(self.connections[number])
            self._heard[number] = self._heard.get(number, (b"",))[0] + data, state
            if state is not OPEN:
                self.connections.pop(number).close()
        self.slots = {number: slot for number, slot in self.slots.items() if number in self.connections}
        heard = {number: (mask(data, self._port_bytes), state)
                 for number, (data, state) in self._heard.items()}
        return Seen(mask(self.names, self._port_bytes), heard, status)

    def creations(self):
        """Those of 32 bits that the step has brought."""
        return [int.from_bytes(data[2:], "big") for data, _ in self._heard.values() if is_wide_creation(data)]

    def hear_names(self):
        self.names = b""
        if not self._asker:
            return
        with self._asker:
            try:
                while piece := self._asker.recv(65536):
                    self.names += piece
            except BlockingIOError:
                self.names = b"no answer"
            except ConnectionResetError:
                pass
        self._asker = None

    def _wait_end(self):
        self._asker = None
        try:
            return self.epmd.wait_exit()
        except subprocess.TimeoutExpired:
            return "no answer, no end"


def drain(connection):
    """All that has come, and whether the connection is still open."""
    data = b""
    while True:
        try:
            piece = connection.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return data, OPEN
        except ConnectionResetError:
            return data, RESET
        if not piece:
            return data, ENDED
        data += piece


# Both


class Pair:
    """The two daemons, started alike, and what they were told since."""

    def __init__(self, stock, ours, places=None, args=(), env=None):
        self.places = places or Places()
        self._how = (stock, ours, self.places, args, env)
        self.history = []
        with contextlib.ExitStack() as stack:
            self.sides = []
            for binary in (stock, ours):
                self.sides.append(Side(binary, binary is stock, self.places, args, env))
                stack.callback(self.sides[-1].stop)
            self._stack = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._stack.close()

    def fresh(self):
        return Pair(*self._how)

    def restart(self):
        for side in self.sides:
            side.stop()
            side.start()
        self.history = []

    def forget_if_long(self):
        """A history that can still be played again; DUMP shows old names, too."""
        if len(self.history) >= HISTORY_MAX:
            self.restart()

    def playing(self, sequence):
        """Play a sequence, and yield whenever the daemons have been told something."""
        done = []
        self.history.append(done)
        for side in self.sides:
            side.places_of = {}
        for step in sequence:
            seen = yield from self._step(step, done)
            if seen.status is not None:
                return self.restart()
        for number in list(self.sides[0].connections):
            # One after the other: the order in which names are released shows in DUMP.
            yield from self._step(("leave", number), done)

    def _step(self, step, done):
        done.append(step)
        questions = [side.act(step) for side in self.sides]
        for _ in range(1 + ASK_AGAIN):
            yield from self._ask(questions, self.sides[0].places_of[step[1]])
            stock, ours = [side.hear() for side in self.sides]
            if stock == ours or is_cut_by_reset(stock, ours):
                return self._check_creations(stock, done)
            if stock.status is not None or ours.status is not None:
                break
            questions = [1, 1]
        raise Difference(list(done), stock, ours)

    def _check_creations(self, seen, done):
        stock, ours = [side.creations() for side in self.sides]
        if any(abs(one - other) > CREATIONS_APART for one, other in zip(stock, ours)):
            raise Difference(list(done), seen._replace(status=f"creation {stock}"),
                             seen._replace(status=f"creation {ours}"))
        return seen

    def _ask(self, questions, place):
        for number in range(max(questions)):
            asked = [side for side, count in zip(self.sides, questions) if count > number]
            for side in asked:
                side.ask(place)
            yield
            for side in asked:
                side.hear_names()

    def play(self, sequence):
        for _ in self.playing(sequence):
            pass


def play_all(pairs, sequences):
    """Play sequences on several pairs at once, each on the next that is free. Explains a difference."""
    playing = dict.fromkeys(pairs, ())
    while playing:
        for pair in list(playing):
            try:
                playing[pair] = iter(playing[pair])
                next(playing[pair])
            except StopIteration:
                sequence = next(sequences, None)
                if sequence is None:
                    del playing[pair]
                else:
                    pair.forget_if_long()
                    playing[pair] = pair.playing(sequence)
            except Difference as difference:
                return explain(pair, difference)
    return None


def difference_of(pair, sequences):
    """What a fresh pair does not agree on in these sequences, one after the other, or None."""
    with pair.fresh() as fresh:
        try:
            for sequence in sequences:
                fresh.play(sequence)
        except Difference as difference:
            return difference
    return None


def shrink(pair, sequences):
    """The shortest of the sequences that still differ, found by dropping steps."""
    flat = [(index, step) for index, sequence in enumerate(sequences) for step in sequence]
    deadline, size = time.monotonic() + SHRINK_SECONDS, len(flat) // 2
    while size:
        start = 0
        while start < len(flat) and time.monotonic() < deadline:
            fewer = flat[:start] + flat[start + size:]
            if difference_of(pair, gather(fewer)):
                flat = fewer
            else:
                start += size
        size //= 2
    return gather(flat)


def gather(flat):
    sequences = {}
    for index, step in flat:
        sequences.setdefault(index, []).append(step)
    return list(sequences.values())


ONCE = "seen once, and not again:"


def explain(pair, difference):
    """A failure as cases to paste into the list of those picked by hand."""
    for sequences in ([difference.steps], [*pair.history[:-1], difference.steps]):
        if difference_of(pair, sequences):
            short = shrink(pair, sequences)
            return f"{difference_of(pair, short)}\n" + "\n".join(map(as_case, short))
    return f"{difference}\n{ONCE}\n{as_case(difference.steps)}"


def as_case(sequence):
    steps = (f",\n         ({', '.join(map(as_source, step))})" for step in sequence)
    return f"    case(\"found\"{''.join(steps)}),"


REPEATED = re.compile(rb"(?s)(.{1,4}?)\1{15,}")


def as_source(value):
    """Python for it, without long repetitions."""
    if not isinstance(value, bytes):
        return repr(value)
    parts, start = [], 0
    for match in REPEATED.finditer(value):
        unit = match[1]
        parts += [repr(value[start:match.start()]), f"{unit!r} * {len(match[0]) // len(unit)}"]
        start = match.end()
    parts.append(repr(value[start:]))
    return " + ".join(part for part in parts if part != "b''") or "b''"
