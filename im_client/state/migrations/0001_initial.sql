-- What is sealed stands in a table of its own: raising a revision then never rewrites a template.
CREATE TABLE infrastructure (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    provider TEXT NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    revision INTEGER NOT NULL,
    ssh_public_key TEXT NOT NULL
) STRICT;

-- part: source, ssh_private_key, outputs or provider_settings; no row: empty.
CREATE TABLE sealed_part (
    infrastructure TEXT NOT NULL REFERENCES infrastructure (id) ON DELETE CASCADE,
    part TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (infrastructure, part)
) STRICT;

-- sealed: host_key_private and outputs, NULL where there are none.
CREATE TABLE node (
    infrastructure TEXT NOT NULL REFERENCES infrastructure (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    group_name TEXT NOT NULL,
    group_index INTEGER NOT NULL,
    token TEXT NOT NULL,
    provider TEXT NOT NULL,
    provider_id TEXT,
    phase TEXT NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    private_address TEXT,
    public_address TEXT,
    login_user TEXT NOT NULL,
    port INTEGER NOT NULL,
    host_key_public TEXT,
    configured_digest TEXT,
    operation_digests TEXT NOT NULL,
    failure TEXT NOT NULL,
    spec TEXT NOT NULL,
    sealed BLOB,
    PRIMARY KEY (infrastructure, name)
) STRICT;

CREATE TABLE run (
    id TEXT PRIMARY KEY,
    infrastructure TEXT NOT NULL REFERENCES infrastructure (id) ON DELETE CASCADE,
    verb TEXT NOT NULL,
    started_at REAL NOT NULL,
    ended_at REAL,
    state TEXT NOT NULL,
    summary TEXT NOT NULL,
    log_dir TEXT NOT NULL
) STRICT;

CREATE INDEX run_of_infrastructure ON run (infrastructure, started_at);

CREATE TABLE event (
    number INTEGER PRIMARY KEY,
    run TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    node TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;

CREATE INDEX event_of_run ON event (run);
