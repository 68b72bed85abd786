CREATE OR REPLACE FUNCTION pgmq.validate_topic_pattern(pattern text)
RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    PERFORM pgmq._check_length('pattern', pattern);
    IF pattern ~ '[^a-zA-Z0-9._*#-]' THEN
        RAISE EXCEPTION 'pattern contains invalid characters. Only alphanumeric, dots, hyphens, underscores, *, and # are allowed. Got: %', pattern;
    END IF;
    PERFORM pgmq._check_dots('pattern', pattern);
    IF pattern ~ '[*][*]' THEN
        RAISE EXCEPTION 'pattern cannot contain consecutive stars (**). Use # for multi-segment matching. Got: %', pattern;
    END IF;
    IF pattern ~ '##' THEN
        RAISE EXCEPTION 'pattern cannot contain consecutive hashes (##). A single # already matches zero or more segments. Got: %', pattern;
    END IF;
    IF pattern ~ '[*]#|#[*]' THEN
        RAISE EXCEPTION 'pattern cannot contain adjacent wildcards (*# or #*). Separate wildcards with dots. Got: %', pattern;
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION pgmq.validate_topic_pattern(text) IS
'Return true for a pattern that bind_topic takes; raise an error for any other, null too.

A pattern is a routing key in which * and # may stand, but not next to each other.';
