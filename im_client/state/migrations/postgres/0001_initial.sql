-- What SQLite's 0001 and 0002 make, and what several processes on several machines need besides.
-- Names sort by their bytes, as in SQLite. `rowid` is the order of insertion, which SQLite has by itself.
CREATE TABLE infrastructure (
    rowid BIGINT GENERATED ALWAYS AS IDENTITY,
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    provider TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL,
    revision BIGINT NOT NULL,
    ssh_public_key TEXT NOT NULL,
    next_vm BIGINT NOT NULL DEFAULT 0,
    source_version BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE sealed_part (
    infrastructure TEXT COLLATE "C" NOT NULL REFERENCES infrastructure (id) ON DELETE CASCADE,
    part TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (infrastructure, part)
);

CREATE TABLE node (
    infrastructure TEXT COLLATE "C" NOT NULL REFERENCES infrastructure (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    group_name TEXT COLLATE "C" NOT NULL,
    group_index BIGINT NOT NULL,
    token TEXT NOT NULL,
    provider TEXT NOT NULL,
    provider_id TEXT,
    phase TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL,
    private_address TEXT,
    public_address TEXT,
    login_user TEXT NOT NULL,
    port INTEGER NOT NULL,
    host_key_public TEXT,
    configured_digest TEXT,
    operation_digests TEXT NOT NULL,
    failure TEXT NOT NULL,
    spec TEXT NOT NULL,
    sealed BYTEA,
    PRIMARY KEY (infrastructure, name)
);

CREATE TABLE run (
    rowid BIGINT GENERATED ALWAYS AS IDENTITY,
    id TEXT COLLATE "C" PRIMARY KEY,
    infrastructure TEXT COLLATE "C" NOT NULL REFERENCES infrastructure (id) ON DELETE CASCADE,
    verb TEXT NOT NULL,
    started_at DOUBLE PRECISION NOT NULL,
    ended_at DOUBLE PRECISION,
    state TEXT NOT NULL,
    summary TEXT NOT NULL,
    log_dir TEXT NOT NULL
);

CREATE INDEX run_of_infrastructure ON run (infrastructure, started_at);

CREATE TABLE event (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run TEXT COLLATE "C" NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    at DOUBLE PRECISION NOT NULL,
    kind TEXT NOT NULL,
    node TEXT NOT NULL,
    text TEXT NOT NULL
);

CREATE INDEX event_of_run ON event (run);

CREATE TABLE vm_number (
    infrastructure TEXT COLLATE "C" NOT NULL REFERENCES infrastructure (id) ON DELETE CASCADE,
    node TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (infrastructure, node),
    UNIQUE (infrastructure, number)
);

CREATE TABLE member (
    infrastructure TEXT COLLATE "C" NOT NULL REFERENCES infrastructure (id) ON DELETE CASCADE,
    account TEXT COLLATE "C" NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (infrastructure, account)
);

CREATE INDEX member_of_account ON member (account);

CREATE TABLE operation (
    rowid BIGINT GENERATED ALWAYS AS IDENTITY,
    id TEXT COLLATE "C" PRIMARY KEY,
    infrastructure TEXT COLLATE "C" NOT NULL,
    kind TEXT NOT NULL,
    arguments TEXT NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    state TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    started_at DOUBLE PRECISION,
    ended_at DOUBLE PRECISION,
    run TEXT NOT NULL DEFAULT '',
    summary TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    hint TEXT NOT NULL DEFAULT '',
    -- Somebody has asked that nothing more of it is started.
    is_cancelled BOOLEAN NOT NULL DEFAULT FALSE
);

CREATE INDEX operation_of_infrastructure ON operation (infrastructure, created_at);
CREATE INDEX operation_unfinished ON operation (created_at) WHERE ended_at IS NULL;

-- What happens in an operation, for those who follow it from another process. Numbers begin at 1 in each operation.
CREATE TABLE operation_event (
    operation TEXT COLLATE "C" NOT NULL REFERENCES operation (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    kind TEXT NOT NULL,
    node TEXT NOT NULL,
    phase TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (operation, number)
);

CREATE FUNCTION im_tell_operation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('im_operation', NEW.id);
    RETURN NULL;
END
$$;

CREATE TRIGGER im_operation_changed AFTER INSERT OR UPDATE ON operation
    FOR EACH ROW EXECUTE FUNCTION im_tell_operation();

CREATE TABLE account (
    name TEXT COLLATE "C" PRIMARY KEY,
    password_hash TEXT NOT NULL,
    is_admin INTEGER NOT NULL,
    created_at DOUBLE PRECISION NOT NULL
);

CREATE TABLE access_token (
    id TEXT COLLATE "C" PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES account (name) ON DELETE CASCADE,
    digest BYTEA NOT NULL UNIQUE,
    role TEXT NOT NULL,
    infrastructure TEXT COLLATE "C",
    created_at DOUBLE PRECISION NOT NULL,
    expires_at DOUBLE PRECISION
);

-- process: who answers; where it is gone and has begun nothing, the next may.
CREATE TABLE answer (
    account TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    operation TEXT NOT NULL DEFAULT '',
    status INTEGER,
    sealed BYTEA,
    process TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (account, key)
);

CREATE TABLE vault_entry (
    account TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (account, id)
);

CREATE TABLE former (
    infrastructure TEXT COLLATE "C" PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL,
    deleted_at DOUBLE PRECISION NOT NULL,
    facts TEXT NOT NULL
);

-- The lock of an infrastructure. Each taking has a token of its own, which only grows: who shows an older one was taken
-- for dead. That it is unique makes taking a lock over wait for writes that have looked at the token (FOR KEY SHARE),
-- and lets signs of life pass by them.
CREATE SEQUENCE lock_token;
CREATE TABLE infrastructure_lock (
    infrastructure TEXT COLLATE "C" PRIMARY KEY,
    token BIGINT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    verb TEXT NOT NULL,
    pid BIGINT NOT NULL,
    host TEXT NOT NULL,
    since DOUBLE PRECISION NOT NULL,
    beat_at TIMESTAMPTZ NOT NULL,
    lease_s DOUBLE PRECISION NOT NULL
);

-- Servers and workers that live.
CREATE TABLE process (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    host TEXT NOT NULL,
    pid BIGINT NOT NULL,
    beat_at TIMESTAMPTZ NOT NULL,
    lease_s DOUBLE PRECISION NOT NULL
);

-- Something that was sealed with the key file that all machines must have.
CREATE TABLE key_check (
    one BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (one),
    sealed BYTEA NOT NULL
);
