# Expands `\ir FILE` (relative to the file it stands in), `\quoted FILE` to a list of literals, one for
# each file that FILE includes, and `\template FILE` to a row of pgmq.template (a first line "--# for a or b"
# says for which queues it is); any other psql meta-command is an error, since the result must suit every driver.
function fail(text) {
    print text > "/dev/stderr"
    failed = 1
    exit 1
}
function open_literal() {
    if (!quoting || in_literal) return
    print (literals++ ? "," : "") "$source$"
    in_literal = 1
}
function close_literal() {
    if (in_literal) print "$source$"
    in_literal = 0
}
function template(path, file,    line, name, features, body, status) {
    name = file
    sub(/^.*\//, "", name)
    sub(/\.sql$/, "", name)
    features = body = ""
    while ((status = (getline line < path)) > 0) {
        if (body == "" && sub(/^--# for /, "", line)) features = line
        else body = body line "\n"
    }
    if (status < 0) fail(path ": cannot be read")
    close(path)
    if ((name, features) in made) fail(path ": a second template " name " for the same queues")
    made[name, features] = 1
    if (index(body, "$template$")) fail(path ": contains $template$, which quotes it")
    open_literal()
    printf "INSERT INTO pgmq.template (name, features, body) VALUES ('%s', '%s', $template$%s$template$)\n", name, features, body
    print "ON CONFLICT (name, features) DO UPDATE SET body = EXCLUDED.body WHERE template.body <> EXCLUDED.body;"
    close_literal()
}
function expand(path, depth,    folder, line, word, status, number, name) {
    if (path in seen) fail(path ": included a second time")
    seen[path] = 1
    folder = path
    sub(/[^\/]*$/, "", folder)
    if (depth) print "-- " substr(path, length("extension/") + 1)
    while ((status = (getline line < path)) > 0) {
        number++
        if (line !~ /^\\/) {
            if (quoting && line ~ /\$(source|install)\$/) fail(path ": contains what quotes it")
            if (line !~ /^(--.*)?$/) open_literal()
            for (name in values) gsub("@" name "@", values[name], line)
            print line
            continue
        }
        split(line, word, /[ \t]+/)
        if (word[1] == "\\ir") expand(folder word[2], depth + 1)
        else if (word[1] == "\\quoted") { quoting = 1; literals = 0; expand(folder word[2], depth + 1); quoting = 0 }
        else if (word[1] == "\\template") template(folder word[2], word[2])
        else fail(path ":" number ": " word[1] " is for psql only")
    }
    if (status < 0) fail(path ": cannot be read")
    close(path)
    close_literal()
    if (depth) print ""
}
BEGIN {
    values["EXTVERSION"] = version
    values["EXTCOMMENT"] = comment
    values["UPGRADES"] = upgrades
    expand(start, 0)
    exit failed
}
