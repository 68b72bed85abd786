"""Many queues: what each costs sessions and catalogs, and what goes through all of them takes."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import psycopg

from benchmark import report
from benchmark.driver import backend_seconds
from benchmark.report import number, progress, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmark.bench import Bench, Plan
    from benchmark.engines import Engine

    Figures = dict[str, dict[str, Any]]  # by engine and name
    Cost = tuple[float, float | None]  # elapsed, and CPU of the backend, both in ms

ALL, QUICK_ALL = 1000, 40  # queues to make
USED, QUICK_USED = 100, 15  # queues that a session has used
LIMIT, QUICK_LIMIT = 60, 5  # seconds for what goes through all queues
WARM = 5  # queues that come before what is measured
BLOCK = 20  # queues, before it is the other engine's turn
CYCLES = 300  # one read of 64 moves marks
TIMES = 10

# CacheMemoryContext grows by such large blocks that what is used of it says more.
_MEMORY = """
    SELECT
        sum(CASE name WHEN 'CacheMemoryContext' THEN used_bytes ELSE total_bytes END) / 1000,
        count(*) FILTER (WHERE name = 'CachedPlanSource')
    FROM pg_backend_memory_contexts
"""
_CATALOGS = """
    SELECT
        (SELECT count(*) FROM pg_proc WHERE pronamespace = 'pgmq'::regnamespace),
        (SELECT count(*) FROM pg_class WHERE relnamespace = 'pgmq'::regnamespace),
        (SELECT sum(pg_total_relation_size(oid)) / 1000 FROM pg_class
        WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r')
"""
# So that what nobody has analyzed stays so.
_GROWING = (
    "attrdef", "attribute", "class", "constraint", "depend", "index", "init_privs", "proc",
    "sequence", "type",
)  # fmt: skip
_NO_AUTOVACUUM = "SET allow_system_table_mods = on;" + "".join(
    f"ALTER TABLE pg_catalog.pg_{name} SET (autovacuum_enabled = off);" for name in _GROWING
)


class Session:
    """A session of an engine, and what it calls."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.conn = psycopg.connect(engine.conninfo, autocommit=True, prepare_threshold=None)

    def call(self, sql: str, *values: Any) -> list[Any]:
        """Run a statement."""
        return self.conn.execute(sql.encode(), values).fetchall()

    def figures(self, sql: str) -> list[float]:
        """Return the numbers of a row."""
        return [float(value) for value in self.call(sql)[0]]

    def timed(self, work: Callable[..., Any], *values: Any) -> Cost:
        """Do something, and return what that took."""
        cpu, started = backend_seconds(self.conn), time.perf_counter()
        work(*values)
        took = time.perf_counter() - started
        spent = backend_seconds(self.conn)
        return 1e3 * took, 1e3 * (spent - cpu) if spent is not None and cpu is not None else None

    def cycle(self, queue: str) -> None:
        """Send, read and acknowledge a message."""
        self.call("SELECT pgmq.send(%s, '{}'::jsonb)", queue)
        [(msg_id, read_ct)] = self.call("SELECT msg_id, read_ct FROM pgmq.read(%s, 30, 1)", queue)
        if self.name == "upstream":
            self.call("SELECT pgmq.delete(%s, %s::bigint)", queue, msg_id)
        else:
            self.call("SELECT pgmq.ack(%s, %s, %s)", queue, msg_id, read_ct)

    def cycles(self, queue: str) -> None:
        """Do that until there are all plans that are kept, also of what is done in few calls."""
        for _ in range(CYCLES):
            self.cycle(queue)

    def every(self, queue: str) -> None:
        """Make all kinds of calls, until there are all plans that are kept."""
        self.cycles(queue)
        for _ in range(6):
            self.call("SELECT pgmq.send(%s, '{}'::jsonb, 0)", queue)
            self.call("SELECT pgmq.send_batch(%s, array_fill('{}'::jsonb, ARRAY[8]))", queue)
            read = self.call("SELECT msg_id, read_ct FROM pgmq.read(%s, 30, 8)", queue)
            ids, counts = (list(column) for column in zip(*read, strict=True))
            self.call("SELECT * FROM pgmq.set_vt(%s, %s::bigint, 0)", queue, ids[0])
            self.call("SELECT * FROM pgmq.read(%s, 30, 1)", queue)
            self.call("SELECT pgmq.delete(%s, %s::bigint)", queue, ids[0])
            self.call("SELECT pgmq.delete(%s, %s::bigint[])", queue, ids[1:2])
            self.call("SELECT pgmq.archive(%s, %s::bigint)", queue, ids[2])
            self.call("SELECT pgmq.archive(%s, %s::bigint[])", queue, ids[3:4])
            if self.name != "upstream":
                batch = "%s::bigint[], %s::integer[]"
                self.call(f"SELECT pgmq.ack(%s, {batch})", queue, ids[4:5], counts[4:5])
                self.call("SELECT pgmq.nack(%s, %s::bigint, %s)", queue, ids[5], counts[5])
                self.call("SELECT pgmq.extend(%s, %s::bigint, %s, 30)", queue, ids[6], counts[6])
                both = f"SELECT * FROM pgmq.ack_and_read(%s, 30, 1, {batch})"
                self.call(both, queue, ids[7:8], counts[7:8])
                self.call("SELECT * FROM pgmq.peek(%s)", queue)
                self.call("SELECT pgmq.next_visible_at(%s)", queue)
            self.call("SELECT * FROM pgmq.pop(%s)", queue)
            self.call("SELECT * FROM pgmq.metrics(%s)", queue)
            self.call("SELECT * FROM pgmq.read(%s, 30, 50)", queue)
            self.call("SELECT pgmq.purge_queue(%s)", queue)
            self.call("SELECT * FROM pgmq.read(%s, 30, 50)", queue)

    def reply(self, queue: str) -> None:
        """Make, use and drop a queue."""
        self.call("SELECT pgmq.create(%s)", queue)
        self.cycle(queue)
        self.call("SELECT pgmq.drop_queue(%s)", queue)

    def within(self, seconds: int, sql: str) -> list[Cost] | str:
        """Run a statement; return what it took, or why it did not come to its end."""
        self.call("SELECT set_config('statement_timeout', %s, false)", f"{seconds}s")
        try:
            return [self.timed(self.call, sql)]
        except psycopg.errors.QueryCanceled:
            return f"> {seconds} s"
        except psycopg.Error as error:
            return str(error).splitlines()[0]
        finally:
            self.call("SELECT set_config('statement_timeout', '0', false)")


@contextlib.contextmanager
def _sessions(engines: list[Engine]) -> Iterator[list[Session]]:
    sessions = [Session(engine) for engine in engines]
    try:
        yield sessions
    finally:
        for session in sessions:
            session.conn.close()


def _grown(names: tuple[str, ...], before: list[float], after: list[float], by: int) -> Any:
    grown = [(a - b) / by for a, b in zip(after, before, strict=True)]
    return dict(zip(names, grown, strict=True))


def _for_each(sessions: list[Session], size: int, sql: str) -> dict[str, list[Cost]]:
    """Run a statement for so many queues, the engines in turns."""
    costs: dict[str, list[Cost]] = {session.name: [] for session in sessions}
    for first in range(0, size, BLOCK):
        for session in sessions:
            for place in range(first, min(first + BLOCK, size)):
                costs[session.name].append(session.timed(session.call, sql, f"many{place}"))
    return costs


def _whole(engines: list[Engine], plan: Plan) -> Figures:
    """Make very many queues, look at all of them, and drop them."""
    size, limit = (QUICK_ALL, QUICK_LIMIT) if plan.quick else (ALL, LIMIT)
    found: Figures = {engine.name: {} for engine in engines}
    for engine in engines:
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
            engine.run(_NO_AUTOVACUUM)
    with _sessions(engines) as sessions:
        before = {session.name: session.figures(_CATALOGS) for session in sessions}
        created = _for_each(sessions, size, "SELECT pgmq.create(%s)")
        for session in sessions:
            one = found[session.name]
            one["create"] = created[session.name]
            names = ("functions", "relations", "catalog_kb")
            one |= _grown(names, before[session.name], session.figures(_CATALOGS), size)
            one["metrics_all"] = session.within(limit, "SELECT * FROM pgmq.metrics_all()")
            if session.name != "upstream":
                one["doctor"] = session.within(limit, "SELECT * FROM pgmq.doctor()")
                session.conn.execute("ANALYZE")
                one["doctor_analyzed"] = session.within(limit, "SELECT * FROM pgmq.doctor()")
        dropped = _for_each(sessions, size, "SELECT pgmq.drop_queue(%s)")
        for name, one in found.items():
            one["drop"] = dropped[name]
    return found


def _users(engines: list[Engine], plan: Plan) -> Figures:
    """Use many queues in a session, and have somebody else create and drop one."""
    queues = [f"many{place}" for place in range(QUICK_USED if plan.quick else USED)]
    found: Figures = {engine.name: {} for engine in engines}
    for engine in engines:
        for queue in queues:
            engine.run(f"SELECT pgmq.create('{queue}')")
        one = found[engine.name]
        for work in (Session.cycles, Session.every):
            with _sessions([engine]) as [session]:
                for queue in queues[:WARM]:
                    work(session, queue)
                before = session.figures(_MEMORY)
                for queue in queues[WARM:]:
                    work(session, queue)
                after = session.figures(_MEMORY)
                one[work.__name__] = _grown(("kb", "plans"), before, after, len(queues) - WARM)
                for call in ("create", "drop_queue") * TIMES:
                    engine.run(f"SELECT pgmq.{call}('other')")
                    one.setdefault(f"{work.__name__}_{call}", []).append(
                        session.timed(session.call, "SELECT 1")
                    )
    return found


def _replies(engines: list[Engine], plan: Plan) -> Figures:
    """Make, use and drop many queues in one session."""
    size = QUICK_ALL if plan.quick else ALL
    found: Figures = {engine.name: {"turns": []} for engine in engines}
    with _sessions(engines) as sessions:
        before = {}
        for place in range(WARM + size):
            for session in sessions:
                if place == WARM:
                    before[session] = session.figures(_MEMORY)
                found[session.name]["turns"].append(session.timed(session.reply, f"reply{place}"))
        for session in sessions:
            after = session.figures(_MEMORY)
            found[session.name] |= _grown(("kb", "plans"), before[session], after, 1)
    return found


def many(bench: Bench) -> tuple[str, Any]:
    """Measure what queues cost when there are many, in databases that are new."""
    found: dict[str, Figures] = {}
    for part in (_whole, _users, _replies):
        with contextlib.ExitStack() as stack:
            engines = [stack.enter_context(engine.fresh()) for engine in bench.two()]
            name = part.__name__.strip("_")
            found[name] = part(engines, bench.plan)
            progress(f"many queues: {name} measured")
    return _shown(bench, found), found


def _spent(costs: list[Cost] | str | None) -> str:
    if costs is None or isinstance(costs, str):
        return costs or "-"
    cpu = [spent for _, spent in costs if spent is not None]
    return spread([took for took, _ in costs]) + (f", CPU {spread(cpu)}" if cpu else "")


def _shown(bench: Bench, found: dict[str, Figures]) -> str:
    quick = bench.plan.quick
    size, used = (QUICK_ALL, QUICK_USED) if quick else (ALL, USED)

    def lines(name: str) -> Iterator[tuple[str, str]]:
        whole, users, replies = (found[part][name] for part in ("whole", "users", "replies"))
        counts = (f"{round(whole[key], 1):g}" for key in ("functions", "relations"))
        yield "functions, relations of a queue", ", ".join(counts)
        yield "catalogs of a queue, kB", number(whole["catalog_kb"])
        for key, title in (
            ("cycles", "sends to, reads and acknowledges"),
            ("every", "makes all kinds of calls on"),
        ):
            memory, plans = number(users[key]["kb"]), round(users[key]["plans"], 1)
            yield f"a session, for a queue that it {title}: kB, plans", f"{memory}, {plans:g}"
        yield f"a session that makes, uses, drops {size:,}: MB", number(replies["kb"] / 1e3)
        few = size // 10
        yield f"... each of the first {few}", _spent(replies["turns"][WARM : WARM + few])
        yield f"... each of the last {few}", _spent(replies["turns"][-few:])
        for call in ("create", "drop_queue"):
            title = f"`SELECT 1` of one that has used {used} in all ways, after another's {call}"
            yield title, _spent(users[f"every_{call}"])
        for key, title in (
            ("create", "create, each"),
            ("drop", "drop_queue, each"),
            ("metrics_all", f"metrics_all with {size:,}"),
            ("doctor", f"doctor with {size:,}, catalogs not analyzed"),
            ("doctor_analyzed", "... analyzed"),
        ):
            yield title, _spent(whole.get(key))

    columns = [dict(lines(engine.name)) for engine in bench.two()]
    rows = [[title, *(column[title] for column in columns)] for title in columns[0]]
    text = "Plain queues; times in ms, of several the median (smallest-largest):\n\n"
    return text + report.table(["", *(engine.name for engine in bench.two())], rows)
