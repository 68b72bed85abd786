CREATE OR REPLACE FUNCTION pgmq.get_policy(queue_name text)
RETURNS pgmq.policy
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pgmq._compiled('enqueue', queue_name);     -- an unknown queue is an error
    RETURN pgmq._policy_of(queue_name);
END
$$;
COMMENT ON FUNCTION pgmq.get_policy(text) IS
'Return the policy of a queue as set_policy() stored it; null means off.

A queue without a policy has a row too, with everything off.';
