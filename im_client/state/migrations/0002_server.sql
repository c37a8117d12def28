-- What a server keeps beside infrastructures: who may do what, numbers of VMs, operations, answers already given.
ALTER TABLE infrastructure ADD COLUMN next_vm INTEGER NOT NULL DEFAULT 0;
-- Raised with each change of what is wanted: the ETag.
ALTER TABLE infrastructure ADD COLUMN source_version INTEGER NOT NULL DEFAULT 0;

-- No reference to `node`: a number is given before the machine's intent is written.
CREATE TABLE vm_number (
    infrastructure TEXT NOT NULL REFERENCES infrastructure (id) ON DELETE CASCADE,
    node TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (infrastructure, node),
    UNIQUE (infrastructure, number)
) STRICT;

CREATE TABLE member (
    infrastructure TEXT NOT NULL REFERENCES infrastructure (id) ON DELETE CASCADE,
    account TEXT NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (infrastructure, account)
) STRICT;

CREATE INDEX member_of_account ON member (account);

-- No reference to `infrastructure`: the operation that destroyed it can still be asked about.
CREATE TABLE operation (
    id TEXT PRIMARY KEY,
    infrastructure TEXT NOT NULL,
    kind TEXT NOT NULL,
    arguments TEXT NOT NULL,
    account TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at REAL NOT NULL,
    started_at REAL,
    ended_at REAL,
    run TEXT NOT NULL DEFAULT '',
    summary TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    hint TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX operation_of_infrastructure ON operation (infrastructure, created_at);
CREATE INDEX operation_unfinished ON operation (created_at) WHERE ended_at IS NULL;

CREATE TABLE account (
    name TEXT PRIMARY KEY,
    password_hash TEXT NOT NULL,
    is_admin INTEGER NOT NULL,
    created_at REAL NOT NULL
) STRICT;

-- digest: SHA-256 of the token, which has 256 random bits; the token itself is nowhere.
CREATE TABLE access_token (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (name) ON DELETE CASCADE,
    digest BLOB NOT NULL UNIQUE,
    role TEXT NOT NULL,
    infrastructure TEXT,
    created_at REAL NOT NULL,
    expires_at REAL
) STRICT;

-- status NULL: the first request with this key is not answered yet; operation: what it has led to.
CREATE TABLE answer (
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    digest BLOB NOT NULL,
    created_at REAL NOT NULL,
    operation TEXT NOT NULL DEFAULT '',
    status INTEGER,
    sealed BLOB,
    PRIMARY KEY (account, key)
) STRICT;

CREATE TABLE vault_entry (
    account TEXT NOT NULL,
    id TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (account, id)
) STRICT;

-- For statistics: what an infrastructure was when it was destroyed.
CREATE TABLE former (
    infrastructure TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    deleted_at REAL NOT NULL,
    facts TEXT NOT NULL
) STRICT;
