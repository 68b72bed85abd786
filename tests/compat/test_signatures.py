from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compat.both import equal

if TYPE_CHECKING:
    from compat.both import Both, Outcome

FUNCTIONS = """
    SELECT p.proname::text AS name,
           pg_get_function_identity_arguments(p.oid) AS identity,
           pg_get_function_arguments(p.oid) AS arguments,
           pg_get_function_result(p.oid) AS result,
           p.proretset AS is_set, p.prokind::text AS kind, p.prosecdef AS security_definer,
           has_function_privilege('public', p.oid, 'EXECUTE') AS public
    FROM pg_proc p
    WHERE p.pronamespace = 'pgmq'::regnamespace
    ORDER BY 1, 2
"""
TYPE = """
    SELECT a.attnum::integer, a.attname::text, format_type(a.atttypid, a.atttypmod)
    FROM pg_attribute a
    WHERE a.attrelid = 'pgmq.{}'::regclass AND a.attnum > 0 ORDER BY 1
"""
COLUMNS = """
    SELECT a.attnum::integer AS number, a.attname::text AS name,
           format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
           a.attidentity::text AS identity, a.attgenerated::text AS generated,
           CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END AS default_value
    FROM pg_attribute a
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = 'pgmq.{}'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1
"""
KIND = """
    SELECT relkind::text, relpersistence::text FROM pg_class WHERE oid = 'pgmq.{}'::regclass
"""
KEYS = """
    SELECT contype::text, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = 'pgmq.{}'::regclass AND contype IN ('p', 'u', 'f', 'c')
"""
GRANTS = """
    SELECT c.relname::text, CASE g.grantee WHEN 0 THEN 'public' ELSE g.grantee::regrole::text END
           AS grantee, g.privilege_type
    FROM pg_class c, aclexplode(c.relacl) g
    WHERE c.relname IN (
        'meta', 'topic_bindings', 'notify_insert_throttle', 'q_l', 'a_l', 'q_u', 'a_u',
        'q_l_msg_id_seq'
    )
    AND c.relnamespace = 'pgmq'::regnamespace AND g.grantee <> c.relowner
    UNION ALL
    SELECT n.nspname::text, CASE g.grantee WHEN 0 THEN 'public' ELSE g.grantee::regrole::text END,
           g.privilege_type
    FROM pg_namespace n, aclexplode(n.nspacl) g
    WHERE n.nspname = 'pgmq' AND g.grantee <> n.nspowner
"""
SEQUENCE = """
    SELECT seqtypid::regtype::text, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle,
           pg_get_serial_sequence('pgmq.{0}', 'msg_id')
    FROM pg_sequence WHERE seqrelid = 'pgmq.{0}_msg_id_seq'::regclass
"""


def by_identity(functions: Outcome) -> dict[str, tuple[object, ...]]:
    return {f"{row[0]}({row[1]})": row for row in functions.rows}


def test_each_function_of_upstream_exists_with_its_names_types_and_defaults(both: Both) -> None:
    theirs, ours = both.run(FUNCTIONS)
    wanted, present = by_identity(theirs), by_identity(ours)
    assert len(wanted) == 76
    assert {key: present.get(key) for key in wanted} == wanted


def test_each_function_of_upstream_can_be_called_by_named_notation(both: Both) -> None:
    theirs, _ = both.run(FUNCTIONS)
    failures = []
    for name, identity, _, result, *_ in by_identity(theirs).values():
        if result == "trigger":
            continue
        arguments = ", ".join(
            f"{argument.split(' ', 1)[0]} => NULL::{argument.split(' ', 1)[1]}"
            for argument in str(identity).split(", ")
            if argument
        )
        plan = f'EXPLAIN SELECT * FROM pgmq."{name}"({arguments})'
        outcomes = both.run(plan)
        # An immutable function is evaluated, and may complain about its arguments.
        failures += [f"{plan}: {o}" for o in outcomes if o.error and o.error[0] != "P0001"]
    assert not failures


def test_no_function_of_ours_makes_a_call_of_upstreams_ambiguous(both: Both) -> None:
    theirs, ours = (by_identity(functions) for functions in both.run(FUNCTIONS))
    names = {row[0] for row in theirs.values()}
    assert [key for key, row in ours.items() if row[0] in names and key not in theirs] == []


@pytest.mark.parametrize(
    "name", ["message_record", "queue_record", "metrics_result", "notify_insert_throttle"]
)
def test_a_type_has_upstreams_fields_in_upstreams_order(both: Both, name: str) -> None:
    theirs, ours = both.run(TYPE.format(name))
    assert theirs.rows
    assert ours.rows == theirs.rows


@pytest.mark.parametrize("table", ["meta", "topic_bindings", "q_l", "a_l", "q_u", "a_u"])
def test_a_table_begins_with_upstreams_columns_and_has_its_keys(both: Both, table: str) -> None:
    both.run("SELECT pgmq.create('l')")
    both.run("SELECT pgmq.create_unlogged('u')")
    theirs, ours = both.run(COLUMNS.format(table))
    assert theirs.rows
    assert ours.rows[: len(theirs.rows)] == theirs.rows
    # INSERT without a list of columns must go on working.
    later = ours.rows[len(theirs.rows) :]
    assert [row for row in later if row[3] and row[6] is None and not row[5]] == []
    their_keys, our_keys = both.run(KEYS.format(table))
    # Foreign keys would stand in the way of pg_restore -j: see differences.py.
    assert {key for key in their_keys.rows if key[0] != "f"} <= set(our_keys.rows)
    assert equal(*both.run(KIND.format(table)))


@pytest.mark.parametrize("table", ["q_l", "q_u"])
def test_the_identity_sequence_is_upstreams(both: Both, table: str) -> None:
    both.run("SELECT pgmq.create('l')")
    both.run("SELECT pgmq.create_unlogged('u')")
    theirs, ours = both.run(SEQUENCE.format(table))
    assert len(theirs.rows) == 1
    assert equal(theirs, ours)


def test_what_upstream_grants_is_granted_but_for_payloads(both: Both) -> None:
    both.run("SELECT pgmq.create('l')")
    both.run("SELECT pgmq.create_unlogged('u')")
    theirs, ours = both.run(GRANTS)
    assert len(theirs.rows) == 9
    payloads = {(table, "pg_monitor", "SELECT") for table in ("q_l", "a_l", "q_u", "a_u")}
    assert set(theirs.rows) - payloads <= set(ours.rows)
